"""FastAPI: one `add_middleware`, and the id is in `request.state` or in a `Header()` parameter."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import FastAPI, Header, Request, WebSocket
from fastapi.requests import HTTPConnection
from fastapi.responses import StreamingResponse
from journal import note
from outside import Outside

from sessionguard import SessionGuard

SessionIdHeader = Annotated[str | None, Header(alias="x-openclaw-session-id")]

released = asyncio.Event()


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    note("started")
    yield
    note("stopped")


app = FastAPI(lifespan=lifespan)
app.add_middleware(SessionGuard)
app.add_middleware(Outside)


def seen(connection: HTTPConnection, header: str | None) -> dict[str, str | None]:
    return {
        "scope": connection.scope.get("session_id"),
        "state": getattr(connection.state, "session_id", None),
        "header": header,
    }


@app.get("/session")
async def session(request: Request, session_id: SessionIdHeader = None) -> dict[str, Any]:
    note("session")
    return {"seen": seen(request, session_id), "headers": request.headers.items()}


@app.websocket("/ws")
async def websocket(socket: WebSocket, session_id: SessionIdHeader = None) -> None:
    note("websocket")
    await socket.accept()
    await socket.send_json(seen(socket, session_id))
    await socket.close()


async def chunks() -> AsyncIterator[str]:
    yield "first"
    await released.wait()
    yield "second"


@app.get("/stream")
async def stream() -> StreamingResponse:
    return StreamingResponse(chunks())


@app.get("/release")
async def release() -> str:
    released.set()
    return "released"


@app.get("/mark")
async def mark(request: Request) -> str:
    request.state.mark = "app"
    return "marked"


@app.get("/crash")
async def crash() -> None:
    raise RuntimeError("the application failed")
