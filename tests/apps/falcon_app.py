"""Falcon: the guard around the application, and the id is in `req.scope` and `req.get_header`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from falcon.asgi import App, Request, Response, WebSocket
from journal import note
from outside import Outside

from sessionguard import SessionGuard


def seen(req: Request) -> dict[str, str | None]:
    return {
        "scope": req.scope.get("session_id"),
        "header": req.get_header("x-openclaw-session-id"),
    }


class Session:
    async def on_get(self, req: Request, resp: Response) -> None:
        note("session")
        resp.media = {"seen": seen(req), "headers": list(req.headers.items())}

    async def on_websocket(self, req: Request, ws: WebSocket) -> None:
        note("websocket")
        await ws.accept()
        await ws.send_media(seen(req))
        await ws.close()


class Stream:
    def __init__(self) -> None:
        self._released = asyncio.Event()

    async def on_get(self, req: Request, resp: Response) -> None:
        resp.stream = self._chunks()

    async def on_get_release(self, req: Request, resp: Response) -> None:
        self._released.set()

    async def _chunks(self) -> AsyncIterator[bytes]:
        yield b"first"
        await self._released.wait()
        yield b"second"


class Mark:
    async def on_get(self, req: Request, resp: Response) -> None:
        req.scope["state"]["mark"] = "app"


class Crash:
    async def on_get(self, req: Request, resp: Response) -> None:
        raise RuntimeError("the application failed")


class Lifespan:
    async def process_startup(self, scope: Mapping[str, Any], event: Mapping[str, Any]) -> None:
        note("started")

    async def process_shutdown(self, scope: Mapping[str, Any], event: Mapping[str, Any]) -> None:
        note("stopped")


falcon_app = App(middleware=[Lifespan()])
session, stream = Session(), Stream()
falcon_app.add_route("/session", session)
falcon_app.add_route("/ws", session)
falcon_app.add_route("/stream", stream)
falcon_app.add_route("/release", stream, suffix="release")
falcon_app.add_route("/mark", Mark())
falcon_app.add_route("/crash", Crash())

app = Outside(SessionGuard(falcon_app))
