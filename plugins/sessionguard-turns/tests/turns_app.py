"""Two applications for real servers: an agent that takes its time, and a gateway that resolves keys by itself."""

from __future__ import annotations

import asyncio
import json
import os
import time
import uuid
from pathlib import Path

from sessionguard_turns import Turn, get_turn

from sessionguard.asgi import Receive, Scope, Send

KEY = b"x-openclaw-session-key"

_sessions: dict[str, str] = {}


def note(event: str, key: str = "-") -> None:
    """Append to the file the test reads; one write, so that workers do not mix their lines."""
    with Path(os.environ["APP_JOURNAL"]).open("a") as journal:
        journal.write(f"{os.getpid()} {time.monotonic_ns()} {key} {event}\n")


async def agent(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer like a chat completion, echo or fail, after as many milliseconds as the query string says.

    With the header `x-hold` it does so when the file that it names is there.
    """
    if scope["type"] == "lifespan":
        await _live(receive, send)
        return
    name = scope["path"].rpartition("/")[2]
    key = dict(scope["headers"]).get(KEY, b"-").decode()
    note(f"begins {name}", key)
    try:
        await _take_turn(name, scope, receive, send)
    finally:
        note(f"ends {name}", key)


async def _take_turn(name: str, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        return
    headers = dict(scope["headers"])
    await _hold(headers)
    if name.startswith("echo"):
        await _echo(receive, send)
        return
    await asyncio.sleep(int(scope["query_string"] or 0) / 1000)
    if name.startswith("fail"):
        raise RuntimeError(name)
    turn = get_turn(scope)
    await _call(headers, turn)
    completion = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": []}
    await answer(send, {**completion, "fencing_number": turn and turn.fencing_number})


async def _echo(receive: Receive, send: Send) -> None:
    body, more = b"", True
    while more:
        message = await receive()
        body += message["body"]
        more = message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


async def _hold(headers: dict[bytes, bytes]) -> None:
    while (hold := headers.get(b"x-hold")) is not None and not Path(hold.decode()).exists():
        await asyncio.sleep(0.01)


async def _call(headers: dict[bytes, bytes], turn: Turn | None) -> None:
    """Call the same conversation where the request says, within its turn."""
    if b"x-call" in headers and turn is not None:
        import httpx

        async with httpx.AsyncClient(timeout=60) as client:
            await client.post(
                headers[b"x-call"].decode(), headers={KEY.decode(): headers[KEY].decode(), **turn.headers}
            )


async def gateway(scope: Scope, receive: Receive, send: Send) -> None:
    """Look the session up, think, and mint one if there was none: the race that OpenClaw has.

    It says which session, and the rest when the file in `x-hold` is there.
    """
    if scope["type"] == "lifespan":
        await _live(receive, send)
        return
    headers = dict(scope["headers"])
    key = headers[KEY].decode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
    await send({"type": "http.response.body", "body": b"", "more_body": True})
    session = _sessions.get(key)
    await asyncio.sleep(0.1)
    if session is None:
        session = _sessions[key] = str(uuid.uuid4())
    await send({"type": "http.response.body", "body": f"data: {session}\n\n".encode(), "more_body": True})
    await _hold(headers)
    await asyncio.sleep(0.05)
    await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})


async def answer(send: Send, content: object) -> None:
    """Send it as JSON."""
    body = json.dumps(content).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _live(receive: Receive, send: Send) -> None:
    while (message := await receive())["type"] == "lifespan.startup":
        await send({"type": "lifespan.startup.complete"})
    await send({"type": f"{message['type']}.complete"})
