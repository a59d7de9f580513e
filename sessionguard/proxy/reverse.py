"""ReverseProxy: forward every request and every WebSocket to one upstream, as an ASGI application."""

from __future__ import annotations

from sessionguard import asgi
from sessionguard.proxy import websocket
from sessionguard.proxy.http import HttpForwarder
from sessionguard.proxy.upstream import Upstream


class ReverseProxy:
    """An ASGI application that answers with what `upstream`, a URL with an optional base path, answers.

    `connect_timeout` and `first_byte_timeout` are in seconds; the latter is how long the upstream may be silent between
    the end of the request and the head of its response. Streams and WebSockets may last for ever. `forward_key` is
    which session key the upstream gets: `as-sent`, or `canonical`, the one the guard in front resolved, so that every
    spelling is one conversation there as well. Raises ConfigurationError.
    """

    # For a turn gate in front: the upstream may resolve keys by itself, and then two that open a conversation race.
    default_turn_mode = "first"

    def __init__(
        self,
        upstream: str,
        *,
        connect_timeout: float = 10.0,
        first_byte_timeout: float = 600.0,
        forward_key: str = "as-sent",
    ) -> None:
        self._upstream = Upstream(upstream, connect_timeout, first_byte_timeout, forward_key)
        self._http = HttpForwarder(self._upstream)

    async def __call__(self, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        if scope["type"] == "http":
            await self._http.forward(asgi.with_headers_listed(scope), receive, send)
        elif scope["type"] == "websocket":
            await websocket.forward(self._upstream, asgi.with_headers_listed(scope), receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)
        else:
            raise ValueError(f"ReverseProxy does not know scopes of the type {scope['type']!r}")

    async def aclose(self) -> None:
        """Close the connections of the running event loop; for hosts that give the proxy no lifespan."""
        await self._http.aclose()

    async def _live(self, receive: asgi.Receive, send: asgi.Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.aclose()
        await send({"type": "lifespan.shutdown.complete"})
