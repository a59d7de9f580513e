"""Starlette: one `add_middleware`, and the id is in `request.state`."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from journal import note
from outside import Outside
from signals import arrived, finished, released
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket

from sessionguard import SessionGuard


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
    released.give()
    return PlainTextResponse("released")


async def upload(request: Request) -> Response:
    size = 0
    async for chunk in request.stream():
        if not size:
            arrived.give()
        size += len(chunk)
    return JSONResponse({"size": size, "session_id": request.state.session_id})


async def arrival(request: Request) -> Response:
    await arrived.wait()
    return PlainTextResponse("arrived")


async def work(request: Request) -> None:
    await released.wait()
    finished.give(request.state.session_id)


async def background(request: Request) -> Response:
    return PlainTextResponse("begun", background=BackgroundTask(work, request))


async def outcome(request: Request) -> Response:
    return JSONResponse({"session_id": await finished.wait()})


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
        Route("/upload", upload, methods=["POST"]),
        Route("/arrival", arrival),
        Route("/background", background),
        Route("/outcome", outcome),
        Route("/mark", mark),
        Route("/crash", crash),
        WebSocketRoute("/ws", websocket),
        Mount("/mounted", Starlette(routes=[Route("/session", session)])),
    ],
    lifespan=lifespan,
)
app.add_middleware(CORSMiddleware, allow_origins=["https://page.example"], allow_headers=["x-openclaw-session-key"])
app.add_middleware(SessionGuard)
app.add_middleware(Outside)
