"""An application that answers with what reached it, over HTTP and over a WebSocket."""

from __future__ import annotations

import json

from sessionguard.asgi import Receive, Scope, Send


async def agent(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await _live(receive, send)
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": _seen(scope)})
        await send({"type": "websocket.close"})
    else:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": _seen(scope).encode()})


async def _live(receive: Receive, send: Send) -> None:
    while (message := await receive())["type"] == "lifespan.startup":
        await send({"type": "lifespan.startup.complete"})
    await send({"type": f"{message['type']}.complete"})


def _seen(scope: Scope) -> str:
    resolution = scope.get("sessionguard")
    return json.dumps(
        {
            "origin": resolution and resolution.origin.value,
            "session_id": scope.get("session_id"),
            "headers": sorted(name.decode().lower() for name, _ in scope["headers"]),
        }
    )
