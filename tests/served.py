"""Applications of a test's own process, served on real sockets of loopback."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

from uvicorn import Config, Server


class _Server(Server):
    """Says when it has started."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.has_started = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self.has_started.set()


@contextlib.asynccontextmanager
async def served(app: Callable[..., Any], **options: Any) -> AsyncIterator[str]:
    """Serve the application with uvicorn on a real socket until the block ends; the options are uvicorn's."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = Config(
            app,
            log_config=None,
            lifespan="on",
            server_header=False,
            date_header=False,
            timeout_graceful_shutdown=5,
            **options,
        )
        server = _Server(config)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        started = asyncio.create_task(server.has_started.wait())
        await asyncio.wait({task, started}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():  # Without a server every client would wait out its patience.
            started.cancel()
            await task
            raise RuntimeError("the server did not start")
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task
