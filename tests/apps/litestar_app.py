"""Litestar: the guard around the application, and the id is in `request.state`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from journal import note
from litestar import Litestar, Request, WebSocket, get, websocket
from litestar.connection import ASGIConnection
from litestar.response import Stream
from outside import Outside

from sessionguard import SessionGuard

released = asyncio.Event()


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
    released.set()
    return "released"


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


app = Outside(SessionGuard(Litestar([session, talk, stream, release, mark, crash], lifespan=[lifespan])))
