"""A bare ASGI application behind the guard: says what it was given, streams on request, accepts WebSockets."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

from sessionguard import SessionGuard

released = asyncio.Event()


async def bare(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": scope.get("session_id", "")})
        await send({"type": "websocket.close", "code": 1000})
    elif scope["path"] == "/stream":
        await stream(send)
    else:
        if scope["path"] == "/release":
            released.set()
        await answer(scope, send)


async def lifespan(receive: Any, send: Any) -> None:
    for _ in range(2):
        message = await receive()
        await send({"type": f"{message['type']}.complete"})


async def stream(send: Any) -> None:
    """The second chunk waits for another request, so a buffered response would never end."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"first", "more_body": True})
    await released.wait()
    await send({"type": "http.response.body", "body": b"second"})


async def answer(scope: Any, send: Any) -> None:
    headers = [value.decode() for name, value in scope["headers"] if name == b"x-openclaw-session-id"]
    resolution = scope.get("sessionguard")
    body = {
        "session_key": resolution and resolution.session_key,
        "session_id": scope.get("session_id"),
        "forwarded": headers,
        "process": os.getpid(),
    }
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})


app = SessionGuard(bare)
