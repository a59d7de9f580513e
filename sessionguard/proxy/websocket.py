"""WebSockets on their way to the upstream and back, message by message.

The upstream decides first: the client is accepted when the upstream has accepted, and is told what else it said. The
client library does the protocol on the one side, the server in front on the other, so each side has extensions, pings
and a closing handshake of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ssl
from typing import cast

import anyio
import httpx
from websockets.asyncio.client import ClientConnection
from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.frames import Close
from websockets.http11 import Response
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import WebSocketURI
from websockets.version import version

from sessionguard import asgi
from sessionguard.proxy import headers
from sessionguard.proxy.upstream import Upstream, log

MOST_BYTES = 64 * 1024 * 1024
"""The longest message of the upstream that passes; what the client may send is for the server in front to say."""

_HANDSHAKE = frozenset(b"sec-websocket-" + name for name in (b"accept", b"extensions", b"key", b"protocol", b"version"))
# The library takes what is not ASCII in a header for UTF-8 up to its release 16, and for ISO-8859-1 since then.
_WRITTEN, _READ = {
    True: (("latin-1", "strict"), ("latin-1", "strict")),
    False: (("utf-8", "replace"), ("ascii", "surrogateescape")),
}[int(version.partition(".")[0]) >= 17]

# Nobody may send the codes that stand for none: 1005 for an empty close, 1006 and 1015 for a connection that broke. A
# client that leaves without a word has gone away, and some servers do not tell whether it was that or an empty close.
_NORMAL, _GOING_AWAY, _BAD_GATEWAY = 1000, 1001, 1014
_TO_UPSTREAM = dict.fromkeys((1005, 1006, 1015), _GOING_AWAY)
_TO_CLIENT = {1005: _NORMAL}


async def forward(upstream: Upstream, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
    """Connect this WebSocket to one of `upstream` until either side ends it, and leave nothing of it behind."""
    await receive()
    connection = ClientConnection(_protocol(upstream, scope))
    bridge = _Bridge(upstream, connection, receive, send)
    serving, listening = asyncio.create_task(bridge.serve(scope)), asyncio.create_task(bridge.listen())
    try:
        await asyncio.wait({serving, listening}, return_when=asyncio.FIRST_COMPLETED)
        if listening.done():
            await bridge.leave(listening.result())
        else:
            serving.result()
    except OSError:
        await bridge.leave({"code": _GOING_AWAY})  # The client, whom `send` did not reach any more.
    finally:
        serving.cancel()
        listening.cancel()
        await asyncio.gather(serving, listening, return_exceptions=True)
        bridge.hang_up()


class _Bridge:
    """One WebSocket of a client, and the `connection` to the upstream that belongs to it."""

    def __init__(
        self, upstream: Upstream, connection: ClientConnection, receive: asgi.Receive, send: asgi.Send
    ) -> None:
        self._upstream = upstream
        self._connection = connection
        self._receive = receive
        self._send = send
        self._is_open = False

    async def listen(self) -> asgi.Message:
        """Hand over what the client sends; returns when it has left."""
        while (message := await self._receive())["type"] != "websocket.disconnect":
            text = message.get("text")
            # What a closed upstream has still said is on its way to the client, who may speak until it is there.
            with contextlib.suppress(ConnectionClosed):
                await self._connection.send(message["bytes"] if text is None else text)
        return message

    async def serve(self, scope: asgi.Scope) -> None:
        """Ask the upstream, and hand over what it says until it closes."""
        try:
            await self._open(scope)
        except InvalidStatus as refused:
            await _reject(scope, self._send, refused.response)
        except TimeoutError as error:
            await asgi.refuse(scope, self._send, self._upstream.no_answer(type(error).__name__, late=True))
        except (OSError, EOFError, InvalidHandshake) as error:
            # What does not follow the protocol is quoted by the library, and may hold a key.
            reason = repr(error) if isinstance(error, OSError) else type(error).__name__
            await asgi.refuse(scope, self._send, self._upstream.no_answer(reason, late=False))
        else:
            await self._accept()
            await self._pass_on()

    async def leave(self, message: asgi.Message) -> None:
        """Close the connection to the upstream as the client has closed his."""
        if self._is_open:
            code: int = message.get("code", _NORMAL)
            await self._connection.close(_TO_UPSTREAM.get(code, code), message.get("reason") or "")

    def hang_up(self) -> None:
        """Let go of the connection, whatever its state."""
        # There is no transport before it was made.
        transport = getattr(self._connection, "transport", None)
        if transport is not None:
            transport.abort()

    async def _open(self, scope: asgi.Scope) -> None:
        url, connection, loop = self._upstream.url, self._connection, asyncio.get_running_loop()
        tls = _tls() if url.scheme == "https" else None
        # Not `asyncio.wait_for`, which swallows a cancellation that comes with the answer up to Python 3.11.
        with anyio.fail_after(self._upstream.connect_timeout):
            await loop.create_connection(lambda: connection, url.host, _port(url), ssl=tls)
        canonical = self._upstream.gets_canonical_key
        passed = [*headers.of_request(scope, _HANDSHAKE, canonical_key=canonical), *headers.forwarded(scope)]
        pairs = [(name.decode("ascii"), value.decode(*_WRITTEN)) for name, value in passed]
        with anyio.fail_after(self._upstream.first_byte_timeout):
            await connection.handshake(pairs, None)
        # An upstream that has hung up behind its answer would leave the task that pings it to itself.
        if connection.state is State.OPEN:
            connection.start_keepalive()
        self._is_open = True

    async def _accept(self) -> None:
        response = cast("Response", self._connection.response)
        passed = [(name, value) for name, value in _passed(response) if name not in _HANDSHAKE]
        await self._send({"type": "websocket.accept", "subprotocol": self._connection.subprotocol, "headers": passed})

    async def _pass_on(self) -> None:
        try:
            while True:
                data = await self._connection.recv()
                await self._send({"type": "websocket.send", "text" if isinstance(data, str) else "bytes": data})
        except ConnectionClosed as closed:
            # Without a word of the upstream, what the library had to say to it: that a message was too long, perhaps.
            close = closed.rcvd or closed.sent or Close(_BAD_GATEWAY, "the upstream broke off")
            if closed.rcvd is None:
                log.error("the upstream %s broke off a WebSocket: %s", self._upstream.url, close.code)
        await self._send(
            {"type": "websocket.close", "code": _TO_CLIENT.get(close.code, close.code), "reason": close.reason}
        )


async def _reject(scope: asgi.Scope, send: asgi.Send, response: Response) -> None:
    """Tell the client what the upstream said instead of accepting; a server that cannot say it says 403."""
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close"})
        return
    start = {"type": "websocket.http.response.start", "status": response.status_code, "headers": _passed(response)}
    await send(start)
    await send({"type": "websocket.http.response.body", "body": response.body or b""})


def _protocol(upstream: Upstream, scope: asgi.Scope) -> ClientProtocol:
    path, _, query = upstream.target(scope).decode("latin-1").partition("?")
    url = upstream.url
    subprotocols = [Subprotocol(name) for name in scope.get("subprotocols", ())]
    uri = WebSocketURI(url.scheme == "https", url.host, _port(url), path, query)
    return ClientProtocol(uri, subprotocols=subprotocols or None, max_size=MOST_BYTES)


def _port(url: httpx.URL) -> int:
    return url.port or {"http": 80, "https": 443}[url.scheme]


def _passed(response: Response) -> asgi.Headers:
    return headers.of_response([(name.encode(), value.encode(*_READ)) for name, value in response.headers.raw_items()])


@functools.cache
def _tls() -> ssl.SSLContext:
    """Return what HTTP trusts as well; reading the certificates takes long."""
    return httpx.create_ssl_context(trust_env=False)
