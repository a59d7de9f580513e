"""BlackSheep: the guard around the application, and the id is in `request.scope`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

from blacksheep import Application, Request, Response, Router, StreamedContent, WebSocket, text
from blacksheep import json as json_response
from journal import note
from outside import Outside
from signals import arrived, finished, released

from sessionguard import SessionGuard

sheep = Application(router=Router())
sheep.use_cors(allow_methods="GET", allow_origins="https://page.example", allow_headers="x-openclaw-session-key")
mounted = Application(router=Router())
sheep.mount_registry.auto_events = True
sheep.mount("/mounted", mounted)
running: set[asyncio.Task[None]] = set()


def seen(connection: Request) -> dict[str, str | None]:
    header = connection.get_first_header(b"x-openclaw-session-id")
    return {"scope": connection.scope.get("session_id"), "header": header and header.decode()}


@sheep.on_start
async def startup(app: Application) -> None:
    note("started")


@sheep.on_stop
async def shutdown(app: Application) -> None:
    note("stopped")


@mounted.router.get("/session")
@sheep.router.get("/session")
async def session(request: Request) -> Response:
    note("session")
    headers = [(name.decode(), value.decode()) for name, value in request.headers]
    return json_response({"seen": seen(request), "headers": headers})


@sheep.router.ws("/ws")
async def talk(websocket: WebSocket) -> None:
    note("websocket")
    await websocket.accept()
    await websocket.send_text(json.dumps(seen(websocket)))
    await websocket.close()


async def chunks() -> AsyncIterator[bytes]:
    yield b"first"
    await released.wait()
    yield b"second"


@sheep.router.get("/stream")
async def stream() -> Response:
    return Response(200, content=StreamedContent(b"text/plain", chunks))


@sheep.router.get("/release")
async def release() -> Response:
    released.give()
    return text("released")


@sheep.router.post("/upload")
async def upload(request: Request) -> Response:
    size = 0
    async for chunk in request.stream():
        if not size:
            arrived.give()
        size += len(chunk)
    return json_response({"size": size, "session_id": request.scope["session_id"]})


@sheep.router.get("/arrival")
async def arrival() -> Response:
    await arrived.wait()
    return text("arrived")


async def work(session_id: str) -> None:
    await released.wait()
    finished.give(session_id)


@sheep.router.get("/background")
async def background(request: Request) -> Response:
    # A request loses its scope when it has been answered.
    task = asyncio.create_task(work(request.scope["session_id"]))
    running.add(task)
    task.add_done_callback(running.discard)
    return text("begun")


@sheep.router.get("/outcome")
async def outcome() -> Response:
    return json_response({"session_id": await finished.wait()})


@sheep.router.get("/mark")
async def mark(request: Request) -> Response:
    request.scope.setdefault("state", {})["mark"] = "app"
    return text("marked")


@sheep.router.get("/crash")
async def crash() -> Response:
    raise RuntimeError("the application failed")


app = Outside(SessionGuard(sheep))
