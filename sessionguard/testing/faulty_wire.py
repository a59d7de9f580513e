"""A TCP proxy in front of a real server, whose wire fails when it is told to. It knows no protocol.

    with FaultyWire("127.0.0.1", 6379) as wire:
        client = connect(wire.host, wire.port)
        wire.fail(WireFault("drop", "reply", at=2))

A message is all that one side sends until the other side speaks, however many packets it takes.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from sessionguard.testing.wire_plan import Direction, WireFault, WirePlan

if TYPE_CHECKING:
    from typing_extensions import Self

End = tuple[asyncio.StreamReader, asyncio.StreamWriter]

CHUNK = 65_536
LINGER_NOT_AT_ALL = struct.pack("ii", 1, 0)


class FaultyWire:
    """Listens on a free port of loopback, in a thread of its own, while its context lasts."""

    host = "127.0.0.1"

    def __init__(self, upstream_host: str, upstream_port: int) -> None:
        self.port: int = 0
        self.connections = 0
        """How many were accepted so far."""
        self._upstream = upstream_host, upstream_port
        self._plan = WirePlan()
        self._clients: dict[asyncio.StreamWriter, asyncio.Task[None]] = {}
        self._listening = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._listening.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._closed.set)
        self._thread.join()

    def fail(self, fault: WireFault) -> None:
        """Let this happen, instead of what was asked for before; messages are counted from here on."""
        self._plan.replace(fault)

    def heal(self) -> None:
        """Let nothing more happen, and count from here on; what has been cut or dropped does not come back."""
        self._plan.replace(None)

    def count(self, direction: Direction) -> int:
        """Return how many messages, of all connections, were sent since `fail` or `heal`."""
        return self._plan.count(direction)

    async def _serve(self) -> None:
        self._loop, self._closed = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._accept, self.host, 0)
        self.port = server.sockets[0].getsockname()[1]
        self._listening.set()
        await self._closed.wait()
        server.close()
        for client in self._clients:
            _reset(client)  # Those who carry on for a client end with the loop, if they have begun at all.

    def _accept(self, requests: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._clients[client] = asyncio.ensure_future(self._carry(requests, client))

    async def _carry(self, requests: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError), _ending(client):
            replies, server = await asyncio.open_connection(*self._upstream)
            with _ending(server):
                await WireConnection(self._plan).run((requests, client), (replies, server))
        del self._clients[client]


class WireConnection:
    """One connection of a client, and the one to the server that belongs to it."""

    def __init__(self, plan: WirePlan) -> None:
        self._plan = plan
        self._speaker: Direction | None = None

    async def run(self, client: End, server: End) -> None:
        """Pass on what either side sends, until both are done; raises OSError when the connection breaks."""
        await asyncio.gather(
            self._pass_on("request", client[0], server[1]), self._pass_on("reply", server[0], client[1])
        )

    async def _pass_on(self, direction: Direction, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            fault = self._fault(direction)
            if fault is not None and fault.what != "delay":
                await self._lose(fault, reader, writer)
                break
            if fault is not None:
                await asyncio.sleep(fault.seconds)
            writer.write(data)
            await writer.drain()
        writer.write_eof()

    def _fault(self, direction: Direction) -> WireFault | None:
        """Return what happens to what has come; the rest of a message that was let through passes as well."""
        if self._speaker == direction:
            return None
        self._speaker = direction
        return self._plan.next(direction)

    async def _lose(self, fault: WireFault, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Let everything vanish from here on."""
        if fault.what == "reset":
            raise ConnectionResetError
        if fault.what == "half-close":
            writer.write_eof()
        while await reader.read(CHUNK):
            pass


@contextlib.contextmanager
def _ending(writer: asyncio.StreamWriter) -> Iterator[None]:
    """Close it at the end; if that comes by an exception, the other side sees a reset."""
    try:
        yield
    except BaseException:
        _reset(writer)
        raise
    writer.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT_AT_ALL)
    writer.transport.abort()
