"""An upstream that speaks WebSockets: a real server in the test's own loop, which the test can look at and end."""

from __future__ import annotations

import asyncio
import contextlib
import http
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

Handler = Callable[[ServerConnection], Awaitable[None]]


async def echo(socket: ServerConnection) -> None:
    """Say what is said."""
    async for message in socket:
        await socket.send(message)


class Gateway:
    """What the server has seen: the handshakes, and how each connection ended."""

    def __init__(self, server: Server, scheme: str) -> None:
        self.url = f"{scheme}://localhost:{server.sockets[0].getsockname()[1]}"
        self.requests: list[Request] = []
        self.connections: list[ServerConnection] = []
        self.arrived = asyncio.Event()

    def header(self, name: str) -> str | None:
        """Return what the latest handshake said."""
        return self.requests[-1].headers.get(name)

    async def ended(self) -> tuple[int | None, str | None]:
        """Return code and reason with which the latest connection was closed, when it is."""
        connection = self.connections[-1]
        await connection.wait_closed()
        return connection.close_code, connection.close_reason


@contextlib.asynccontextmanager
async def gateway(handler: Handler = echo, scheme: str = "http", **options: Any) -> AsyncIterator[Gateway]:
    """Serve `handler`; options are those of the library's `serve`."""
    own = options.pop("process_request", lambda connection, request: None)

    def seen(connection: ServerConnection, request: Request) -> Any:
        place.requests.append(request)
        place.connections.append(connection)
        place.arrived.set()
        return own(connection, request)

    async def handle(connection: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            await handler(connection)

    async with serve(handle, "localhost", 0, process_request=seen, **options) as server:
        place = Gateway(server, scheme)
        yield place


def refusing(status: int, body: str, **headers: str) -> Callable[[ServerConnection, Request], Response]:
    """Answer the handshake with something else than a WebSocket."""

    def refuse(connection: ServerConnection, request: Request) -> Response:
        response = connection.respond(http.HTTPStatus(status), body)
        for name, value in headers.items():
            response.headers[name.replace("_", "-")] = value
        return response

    return refuse
