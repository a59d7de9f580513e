"""An OpenClaw gateway as far as its conversations go: when it answers, when it resolves the session, and how it fails.

Order and kinds are those of real releases, seen on the wire and in their stores by `tox -e openclaw`; the times are
shorter. The tests of this stand-in without a proxy must fork, or fail, as the real releases do.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from turns_stage import whole_body

from sessionguard.asgi import Receive, Scope, Send

EVENT, ROW, MODEL = 0.01, 0.06, 0.15
"""In seconds: from the request to the first event of its stream, from there to its row, and from there to its end."""


@dataclass(frozen=True)
class Release:
    """How a generation of releases behaves."""

    fails_late: bool
    """A turn fails when the key leads to another session by the time it starts, instead of forking it."""
    event_before_row: bool = True
    """The first event of a stream is sent before the session is resolved."""


RELEASES = {
    "2026.5.20": Release(fails_late=False),
    "2026.7.35": Release(fails_late=False),
    "2026.8.2": Release(fails_late=True),
    "2026.9.6": Release(fails_late=True, event_before_row=False),
}


class StandIn:
    """The gateway of one release; `transcripts` are the messages of each session, in the order of their turns."""

    def __init__(self, release: Release) -> None:
        self.release = release
        self.transcripts: dict[str, list[str]] = defaultdict(list)
        self._sessions: dict[str, str] = {}
        self._lanes: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._turns: set[asyncio.Task[Any]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for event in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{event}.complete"})
            return
        headers = dict(scope["headers"])
        if scope["method"] == "GET":
            await _whole(send, 200, {"data": []})
            return
        if b"x-forwarded-for" in headers and self.release.fails_late:
            await _whole(send, 403, {"error": {"type": "proxy_attribution_required"}})
            return
        request = json.loads(await whole_body(receive))
        key = headers[b"x-openclaw-session-key"].decode().lower()
        # A client that leaves does not end the turn up to 2026.7; later releases cancel it, which loses no message.
        turn = asyncio.ensure_future(self._turn(key, request["message"]))
        self._turns.add(turn)
        turn.add_done_callback(self._turns.discard)
        if request["stream"]:
            await self._stream(turn, send)
        else:
            status, answer = await asyncio.shield(turn)
            await _whole(send, status, answer)

    async def _stream(self, turn: asyncio.Task[tuple[int, Any]], send: Send) -> None:
        head = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await asyncio.sleep(EVENT if self.release.event_before_row else EVENT + ROW)
        await _event(send, 'data: {"choices":[{"delta":{"role":"assistant"}}]}')
        _, answer = await asyncio.shield(turn)
        await _event(send, f"data: {json.dumps(answer)}")
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})

    async def _turn(self, key: str, message: str) -> tuple[int, Any]:
        session_id = self._sessions.get(key) or str(uuid.uuid4())
        await asyncio.sleep(EVENT + ROW)
        self._sessions.setdefault(key, session_id)
        async with self._lanes[key if self.release.fails_late else session_id]:
            if self.release.fails_late and self._sessions[key] != session_id:
                return 500, {"error": {"message": "changed while starting work"}}
            transcript = self.transcripts[session_id]
            transcript.append(message)
            shown = [*transcript]
            await asyncio.sleep(MODEL)
        return 200, {"shown": shown}


async def _event(send: Send, text: str) -> None:
    await send({"type": "http.response.body", "body": f"{text}\n\n".encode(), "more_body": True})


async def _whole(send: Send, status: int, answer: Any) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": json.dumps(answer).encode()})
