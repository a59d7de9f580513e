"""Quart: the guard around `app.asgi_app`, and the id is in `request.scope` and `websocket.scope`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from journal import note
from outside import Outside
from quart import Quart, request, websocket
from quart.wrappers import Request, Websocket

from sessionguard import SessionGuard

app = Quart(__name__)
app.asgi_app = Outside(SessionGuard(app.asgi_app))

released = asyncio.Event()


def seen(connection: Request | Websocket) -> dict[str, object]:
    return {
        "scope": connection.scope.get("session_id"),
        "header": connection.headers.get("x-openclaw-session-id"),
    }


@app.before_serving
async def startup() -> None:
    note("started")


@app.after_serving
async def shutdown() -> None:
    note("stopped")


@app.get("/session")
async def session() -> dict[str, Any]:
    note("session")
    return {"seen": seen(request), "headers": list(request.headers.items())}


@app.websocket("/ws")
async def talk() -> None:
    note("websocket")
    await websocket.send(json.dumps(seen(websocket)))


@app.get("/stream")
async def stream() -> AsyncIterator[str]:
    async def chunks() -> AsyncIterator[str]:
        yield "first"
        await released.wait()
        yield "second"

    return chunks()


@app.get("/release")
async def release() -> str:
    released.set()
    return "released"


@app.get("/mark")
async def mark() -> str:
    request.scope["state"]["mark"] = "app"
    return "marked"


@app.get("/crash")
async def crash() -> str:
    raise RuntimeError("the application failed")
