"""Requests of threads, which have to end before their event loop does."""

from __future__ import annotations

import asyncio
import contextlib
import sys

from sessionguard.asgi import ASGIApp, Receive, Scope, Send


class Patient:
    """Lets requests end although their server has had enough of them.

    A thread of a2wsgi waits until the event loop has taken what it sends. On SIGTERM Daphne cancels its requests and
    stops the loop, and Granian stops it when the lifespan is over, also under requests whose clients have the whole
    answer already; the thread then waits forever, and Python for the thread.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._under_way: set[asyncio.Future[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        request = asyncio.ensure_future(self._app(scope, receive, send))
        self._under_way.add(request)
        request.add_done_callback(self._under_way.discard)
        while not request.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([request])
        request.result()

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        if self._under_way:
            print("waits for", len(self._under_way), "pending requests", file=sys.stderr, flush=True)
            await asyncio.wait(self._under_way)
        await send({"type": "lifespan.shutdown.complete"})
