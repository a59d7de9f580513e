"""Sanic: the guard around the application, and the id is in `request.scope`."""

from __future__ import annotations

import json

from journal import note
from outside import Outside
from sanic import Blueprint, HTTPResponse, Request, Sanic, Websocket, text
from sanic.response import json as json_response
from sanic_ext import Extend
from signals import arrived, finished, released

from sessionguard import SessionGuard

sanic = Sanic("conversations")
sanic.config.CORS_ORIGINS = "https://page.example"
sanic.config.CORS_ALLOW_HEADERS = "x-openclaw-session-key"
Extend(sanic)
mounted = Blueprint("mounted", url_prefix="/mounted")


def seen(request: Request) -> dict[str, str | None]:
    return {
        "scope": request.scope.get("session_id"),
        "header": request.headers.get("x-openclaw-session-id"),
    }


@sanic.before_server_start
async def startup(app: Sanic) -> None:
    note("started")


@sanic.after_server_stop
async def shutdown(app: Sanic) -> None:
    note("stopped")


@mounted.get("/session", name="mounted_session")
@sanic.get("/session")
async def session(request: Request) -> HTTPResponse:
    note("session")
    return json_response({"seen": seen(request), "headers": list(request.headers.items())})


@sanic.websocket("/ws")
async def talk(request: Request, websocket: Websocket) -> None:
    note("websocket")
    await websocket.send(json.dumps(seen(request)))


@sanic.get("/stream")
async def stream(request: Request) -> None:
    response = await request.respond()
    await response.send("first")
    await released.wait()
    await response.send("second")
    await response.eof()


@sanic.get("/release")
async def release(request: Request) -> HTTPResponse:
    released.give()
    return text("released")


@sanic.post("/upload", stream=True)
async def upload(request: Request) -> HTTPResponse:
    size = 0
    # Under ASGI, `request.stream.read()` waits for ever behind the last chunk.
    async for chunk in request.stream:
        if not size:
            arrived.give()
        size += len(chunk)
    return json_response({"size": size, "session_id": request.scope["session_id"]})


@sanic.get("/arrival")
async def arrival(request: Request) -> HTTPResponse:
    await arrived.wait()
    return text("arrived")


async def work(request: Request) -> None:
    await released.wait()
    finished.give(request.scope["session_id"])


@sanic.get("/background")
async def background(request: Request) -> HTTPResponse:
    sanic.add_task(work(request))
    return text("begun")


@sanic.get("/outcome")
async def outcome(request: Request) -> HTTPResponse:
    return json_response({"session_id": await finished.wait()})


@sanic.get("/mark")
async def mark(request: Request) -> HTTPResponse:
    request.scope.setdefault("state", {})["mark"] = "app"
    return text("marked")


@sanic.get("/crash")
async def crash(request: Request) -> HTTPResponse:
    raise RuntimeError("the application failed")


sanic.blueprint(mounted)
app = Outside(SessionGuard(sanic))
