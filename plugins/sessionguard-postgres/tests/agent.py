"""An application that answers with the id it was given, and says which process it is."""

from __future__ import annotations

import os

from sessionguard.asgi import Receive, Scope, Send


async def agent(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        while (message := await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": f"{message['type']}.complete"})
        return
    headers = [(b"x-process", str(os.getpid()).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": scope.get("session_id", "").encode()})
