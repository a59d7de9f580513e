"""A small agent, as a bare ASGI application, with the flaw that many gateways have.

It mints a session id for a key it has not seen and stores it only after a slow first step, so a second request that
arrives meanwhile is given another id, and an empty memory. When the scope holds a `session_id`, it uses that instead.

`GET` says which process answers. `POST` adds its body to the session's transcript and says how many messages it
remembers from before.
"""

from __future__ import annotations

import asyncio
import json
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import platformdirs

from sessionguard.asgi import Receive, Scope, Send, header_values
from sessionguard.cli.journal import Journal

FIRST_STEP_SECONDS = 0.5
DIRECTORY_VARIABLE = "AGENT_DIRECTORY"
KEY_HEADER = b"x-openclaw-session-key"

_SUFFIX = ".jsonl"


class Agent:
    """Keeps its key -> id file and one transcript for each session id in `directory`."""

    def __init__(self, directory: Path) -> None:
        self._session_ids = Journal(directory / f"session-ids{_SUFFIX}")
        self._transcripts = directory / "transcripts"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["method"] == "POST":
            await _send_json(send, await self._turn(scope, await _body(receive)))
        else:
            await _send_json(send, {"process": os.getpid()})

    def transcripts(self) -> Mapping[str, list[str]]:
        """Return the messages of every session id."""
        found = self._transcripts.glob(f"*{_SUFFIX}")
        return {unquote(path.name.removesuffix(_SUFFIX)): Journal(path).entries() for path in found}

    async def _turn(self, scope: Scope, message: str) -> Mapping[str, Any]:
        key = next(header_values(scope, KEY_HEADER), b"").decode("latin-1")
        known = scope.get("session_id") or self._known(key)
        session_id = known or str(uuid.uuid4())
        transcript = Journal(self._transcripts / f"{quote(session_id, safe='')}{_SUFFIX}")
        if not transcript.entries():
            await asyncio.sleep(FIRST_STEP_SECONDS)
        if key and known is None:
            self._session_ids.append([key, session_id])
        return {"session_id": session_id, "remembers": transcript.append(message), "process": os.getpid()}

    def _known(self, key: str) -> str | None:
        return dict(self._session_ids.entries()).get(key)


async def _live(receive: Receive, send: Send) -> None:
    stage = ""
    while stage != "lifespan.shutdown":
        stage = (await receive())["type"]
        await send({"type": f"{stage}.complete"})


async def _body(receive: Receive) -> str:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body.decode(errors="replace")


async def _send_json(send: Send, answer: Mapping[str, Any]) -> None:
    body = json.dumps(answer).encode() + b"\n"
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


app = Agent(
    Path(os.environ.get(DIRECTORY_VARIABLE) or platformdirs.user_state_path("sessionguard-agent", appauthor=False))
)
