"""Starlette: one `add_middleware`, and the id is in `request.state`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from journal import note
from outside import Outside
from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from sessionguard import SessionGuard

released = asyncio.Event()


def seen(connection: HTTPConnection) -> dict[str, str | None]:
    return {
        "scope": connection.scope.get("session_id"),
        "state": getattr(connection.state, "session_id", None),
        "header": connection.headers.get("x-openclaw-session-id"),
    }


async def session(request: Request) -> Response:
    note("session")
    return JSONResponse({"seen": seen(request), "headers": request.headers.items()})


async def websocket(socket: WebSocket) -> None:
    note("websocket")
    await socket.accept()
    await socket.send_json(seen(socket))
    await socket.close()


async def chunks() -> AsyncIterator[str]:
    yield "first"
    await released.wait()
    yield "second"


async def stream(request: Request) -> Response:
    return StreamingResponse(chunks())


async def release(request: Request) -> Response:
    released.set()
    return PlainTextResponse("released")


async def mark(request: Request) -> Response:
    request.state.mark = "app"
    return PlainTextResponse("marked")


async def crash(request: Request) -> Response:
    raise RuntimeError("the application failed")


@contextlib.asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    note("started")
    yield
    note("stopped")


app = Starlette(
    routes=[
        Route("/session", session),
        Route("/stream", stream),
        Route("/release", release),
        Route("/mark", mark),
        Route("/crash", crash),
        WebSocketRoute("/ws", websocket),
    ],
    lifespan=lifespan,
)
app.add_middleware(SessionGuard)
app.add_middleware(Outside)
