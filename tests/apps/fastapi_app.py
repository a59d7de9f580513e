"""FastAPI: one `add_middleware`, and the id is in `request.state` or in a `Header()` parameter."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import BackgroundTasks, FastAPI, Header, Request, WebSocket
from fastapi.middleware.cors import CORSMiddleware
from fastapi.requests import HTTPConnection
from fastapi.responses import StreamingResponse
from journal import note
from outside import Outside
from signals import arrived, finished, released

from sessionguard import SessionGuard

SessionIdHeader = Annotated[str | None, Header(alias="x-openclaw-session-id")]


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    note("started")
    yield
    note("stopped")


app = FastAPI(lifespan=lifespan)
app.add_middleware(CORSMiddleware, allow_origins=["https://page.example"], allow_headers=["x-openclaw-session-key"])
app.add_middleware(SessionGuard)
app.add_middleware(Outside)

mounted = FastAPI()
app.mount("/mounted", mounted)


def seen(connection: HTTPConnection, header: str | None) -> dict[str, str | None]:
    return {
        "scope": connection.scope.get("session_id"),
        "state": getattr(connection.state, "session_id", None),
        "header": header,
    }


@mounted.get("/session")
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
    released.give()
    return "released"


@app.post("/upload")
async def upload(request: Request) -> dict[str, Any]:
    size = 0
    async for chunk in request.stream():
        if not size:
            arrived.give()
        size += len(chunk)
    return {"size": size, "session_id": request.state.session_id}


@app.get("/arrival")
async def arrival() -> str:
    await arrived.wait()
    return "arrived"


async def work(request: Request) -> None:
    await released.wait()
    finished.give(request.state.session_id)


@app.get("/background")
async def background(request: Request, tasks: BackgroundTasks) -> str:
    tasks.add_task(work, request)
    return "begun"


@app.get("/outcome")
async def outcome() -> dict[str, str | None]:
    return {"session_id": await finished.wait()}


@app.get("/mark")
async def mark(request: Request) -> str:
    request.state.mark = "app"
    return "marked"


@app.get("/crash")
async def crash() -> None:
    raise RuntimeError("the application failed")
