"""An application that sends back what it was sent; its first turn takes a moment."""

from __future__ import annotations

import asyncio

from sessionguard_turns import TurnGate
from turns_app import note

from sessionguard import SessionGuard
from sessionguard.asgi import Receive, Scope, Send


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    note(f"begins {scope['path']}")
    if scope["path"] == "/first":
        await asyncio.sleep(0.3)
    body, more = b"", True
    while more:
        message = await receive()
        body += message["body"]
        more = message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


app = SessionGuard(TurnGate(echo))
