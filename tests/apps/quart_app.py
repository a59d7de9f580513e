"""Quart: the guard around `app.asgi_app`, and the id is in `request.scope` and `websocket.scope`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from journal import note
from outside import Outside
from quart import Blueprint, Quart, request, websocket
from quart.wrappers import Request, Websocket
from quart_cors import cors
from signals import arrived, finished, released

from sessionguard import SessionGuard

app = Quart(__name__)
app.config["MAX_CONTENT_LENGTH"] = None
cors(app, allow_origin="https://page.example", allow_headers=["x-openclaw-session-key"])
app.asgi_app = Outside(SessionGuard(app.asgi_app))

mounted = Blueprint("mounted", __name__, url_prefix="/mounted")


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


@mounted.get("/session")
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
    released.give()
    return "released"


@app.post("/upload")
async def upload() -> dict[str, Any]:
    size = 0
    async for chunk in request.body:
        if not size:
            arrived.give()
        size += len(chunk)
    return {"size": size, "session_id": request.scope["session_id"]}


@app.get("/arrival")
async def arrival() -> str:
    await arrived.wait()
    return "arrived"


async def work() -> None:
    await released.wait()
    finished.give(request.scope["session_id"])


@app.get("/background")
async def background() -> str:
    app.add_background_task(work)
    return "begun"


@app.get("/outcome")
async def outcome() -> dict[str, Any]:
    return {"session_id": await finished.wait()}


@app.get("/mark")
async def mark() -> str:
    request.scope.setdefault("state", {})["mark"] = "app"
    return "marked"


@app.get("/crash")
async def crash() -> str:
    raise RuntimeError("the application failed")


app.register_blueprint(mounted)
