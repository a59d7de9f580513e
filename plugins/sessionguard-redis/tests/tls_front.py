"""TLS in front of a server that has none: a real handshake, and behind it whatever the server says."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from typing import Self


class TlsFront:
    """Listens on a free port of loopback, in a thread of its own, while its context lasts."""

    def __init__(self, context: ssl.SSLContext, upstream_port: int) -> None:
        self.port = 0
        self._context = context
        self._upstream_port = upstream_port
        self._listening = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._listening.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._closed.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop, self._closed = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._context)
        self.port = server.sockets[0].getsockname()[1]
        self._listening.set()
        await self._closed.wait()
        server.close()

    async def _accept(self, requests: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        replies, server = await asyncio.open_connection("127.0.0.1", self._upstream_port)
        with contextlib.suppress(OSError):
            await asyncio.gather(_pass_on(requests, server), _pass_on(replies, client))


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
    finally:
        writer.close()
