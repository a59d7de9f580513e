"""Litestar: the guard around the application, and the id is in `request.state`."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from journal import note
from litestar import Litestar, Request, Router, WebSocket, get, post, websocket
from litestar.background_tasks import BackgroundTask
from litestar.config.cors import CORSConfig
from litestar.connection import ASGIConnection
from litestar.response import Response, Stream
from outside import Outside
from signals import arrived, finished, released

from sessionguard import SessionGuard


def seen(connection: ASGIConnection[Any, Any, Any, Any]) -> dict[str, str | None]:
    return {
        "scope": connection.scope.get("session_id"),
        "state": connection.state.get("session_id"),
        "header": connection.headers.get("x-openclaw-session-id"),
    }


@get("/session")
async def session(request: Request[Any, Any, Any]) -> dict[str, Any]:
    note("session")
    return {"seen": seen(request), "headers": list(request.headers.multi_items())}


@websocket("/ws")
async def talk(socket: WebSocket[Any, Any, Any]) -> None:
    note("websocket")
    await socket.accept()
    await socket.send_json(seen(socket))
    await socket.close()


async def chunks() -> AsyncIterator[str]:
    yield "first"
    await released.wait()
    yield "second"


@get("/stream")
async def stream() -> Stream:
    return Stream(chunks())


@get("/release")
async def release() -> str:
    released.give()
    return "released"


@post("/upload", request_max_body_size=None)
async def upload(request: Request[Any, Any, Any]) -> dict[str, Any]:
    size = 0
    async for chunk in request.stream():
        if not size:
            arrived.give()
        size += len(chunk)
    return {"size": size, "session_id": request.state.session_id}


@get("/arrival")
async def arrival() -> str:
    await arrived.wait()
    return "arrived"


async def work(request: Request[Any, Any, Any]) -> None:
    await released.wait()
    finished.give(request.state.session_id)


@get("/background")
async def background(request: Request[Any, Any, Any]) -> Response[str]:
    return Response("begun", background=BackgroundTask(work, request))


@get("/outcome")
async def outcome() -> dict[str, str | None]:
    return {"session_id": await finished.wait()}


@get("/mark")
async def mark(request: Request[Any, Any, Any]) -> str:
    request.state.mark = "app"
    return "marked"


@get("/crash")
async def crash() -> None:
    raise RuntimeError("the application failed")


@contextlib.asynccontextmanager
async def lifespan(app: Litestar) -> AsyncIterator[None]:
    note("started")
    yield
    note("stopped")


litestar = Litestar(
    [
        *(session, talk, stream, release, upload, arrival, background, outcome, mark, crash),
        Router("/mounted", route_handlers=[session]),
    ],
    cors_config=CORSConfig(allow_origins=["https://page.example"], allow_headers=["x-openclaw-session-key"]),
    lifespan=[lifespan],
)
app = Outside(SessionGuard(litestar))
