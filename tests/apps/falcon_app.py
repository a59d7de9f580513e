"""Falcon: the guard around the application, and the id is in `req.scope` and `req.get_header`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from falcon import CORSMiddleware
from falcon.asgi import App, Request, Response, WebSocket
from journal import note
from outside import Outside
from signals import arrived, finished, released

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
    async def on_get(self, req: Request, resp: Response) -> None:
        resp.stream = self._chunks()

    async def on_get_release(self, req: Request, resp: Response) -> None:
        released.give()

    async def _chunks(self) -> AsyncIterator[bytes]:
        yield b"first"
        await released.wait()
        yield b"second"


class Upload:
    async def on_post(self, req: Request, resp: Response) -> None:
        size = 0
        async for chunk in req.stream:
            if not size:
                arrived.give()
            size += len(chunk)
        resp.media = {"size": size, "session_id": req.scope["session_id"]}

    async def on_get_arrival(self, req: Request, resp: Response) -> None:
        await arrived.wait()


class Background:
    async def on_get(self, req: Request, resp: Response) -> None:
        async def work() -> None:
            await released.wait()
            finished.give(req.scope["session_id"])

        resp.schedule(work)

    async def on_get_outcome(self, req: Request, resp: Response) -> None:
        resp.media = {"session_id": await finished.wait()}


class Mark:
    async def on_get(self, req: Request, resp: Response) -> None:
        req.scope.setdefault("state", {})["mark"] = "app"


class Crash:
    async def on_get(self, req: Request, resp: Response) -> None:
        raise RuntimeError("the application failed")


class Lifespan:
    async def process_startup(self, scope: Mapping[str, Any], event: Mapping[str, Any]) -> None:
        note("started")

    async def process_shutdown(self, scope: Mapping[str, Any], event: Mapping[str, Any]) -> None:
        note("stopped")


falcon_app = App(middleware=[CORSMiddleware(allow_origins="https://page.example"), Lifespan()])
session, stream, upload, background = Session(), Stream(), Upload(), Background()
falcon_app.add_route("/session", session)
falcon_app.add_route("/mounted/session", session)
falcon_app.add_route("/ws", session)
falcon_app.add_route("/stream", stream)
falcon_app.add_route("/release", stream, suffix="release")
falcon_app.add_route("/upload", upload)
falcon_app.add_route("/arrival", upload, suffix="arrival")
falcon_app.add_route("/background", background)
falcon_app.add_route("/outcome", background, suffix="outcome")
falcon_app.add_route("/mark", Mark())
falcon_app.add_route("/crash", Crash())

app = Outside(SessionGuard(falcon_app))
