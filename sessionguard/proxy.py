"""ReverseProxy: forward every request to one upstream, both bodies streamed, as an ASGI application.

It stands on httpx's transport, not on its client: a client keeps cookies, reads redirects and signs requests, and a
proxy must do none of that. Nothing about the guard is known here; the id it resolved is one more request header.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator
from urllib.parse import quote, unquote

import httpx

from sessionguard import asgi
from sessionguard.errors import (
    ConfigurationError,
    Refusal,
    UpstreamTimeout,
    UpstreamUnreachable,
    WebSocketUnsupported,
)

log = logging.getLogger("sessionguard")

_LIMITS = httpx.Limits(keepalive_expiry=2.0)  # uvicorn and Node hang up on idle connections after 5 s: be the first
_PROXY = frozenset({b"proxy-authenticate", b"proxy-authorization", b"proxy-connection"})
_HOP_BY_HOP = _PROXY | {b"connection", b"keep-alive", b"te", b"trailer", b"transfer-encoding", b"upgrade"}
_ADDRESSES = (b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto")
# The server in front has already answered `expect`; the others are written anew, whatever the client said.
_NOT_FORWARDED = _HOP_BY_HOP | {*_ADDRESSES, b"expect", b"host"}


class ReverseProxy:
    """An ASGI application that answers with what `upstream`, a URL with an optional base path, answers.

    `connect_timeout` and `first_byte_timeout` are in seconds; the latter is how long the upstream may be silent between
    the end of the request and the head of its response. Streams may last for ever. Raises ConfigurationError.
    """

    # For a turn gate in front: the upstream may resolve keys by itself, and then two that open a conversation race.
    default_turn_mode = "first"

    def __init__(self, upstream: str, *, connect_timeout: float = 10.0, first_byte_timeout: float = 600.0) -> None:
        self._url = _upstream_url(upstream)
        for name, seconds in (("connect_timeout", connect_timeout), ("first_byte_timeout", first_byte_timeout)):
            if not isinstance(seconds, (int, float)) or not seconds > 0:
                raise ConfigurationError(f"{name}: {seconds!r} is not legal; expected a number of seconds above 0")
        self._timeout = httpx.Timeout(first_byte_timeout, connect=connect_timeout, pool=None)
        self._transports: dict[asyncio.AbstractEventLoop, httpx.AsyncHTTPTransport] = {}

    async def __call__(self, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        if scope["type"] == "http":
            await self._serve(asgi.with_headers_listed(scope), receive, send)
        elif scope["type"] == "websocket":
            await asgi.refuse(scope, send, WebSocketUnsupported("This proxy does not forward WebSockets; use HTTP."))
        elif scope["type"] == "lifespan":
            await self._live(receive, send)
        else:
            raise ValueError(f"ReverseProxy does not know scopes of the type {scope['type']!r}")

    async def aclose(self) -> None:
        """Close the connections of the running event loop; for hosts that give the proxy no lifespan."""
        with contextlib.suppress(KeyError):
            await self._transports.pop(asyncio.get_running_loop()).aclose()

    async def _live(self, receive: asgi.Receive, send: asgi.Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.aclose()
        await send({"type": "lifespan.shutdown.complete"})

    async def _serve(self, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        """Run the exchange until it is over or the client has left, and leave nothing of it behind."""
        upload = _Upload(receive)
        tasks = [asyncio.create_task(self._exchange(scope, upload, send)), asyncio.create_task(upload.pump())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _exchange(self, scope: asgi.Scope, upload: _Upload, send: asgi.Send) -> None:
        try:
            response = await self._request(scope, upload)
        except httpx.TransportError as error:
            # A protocol error quotes what was on the wire, and that may hold a key.
            reason = type(error).__name__ if isinstance(error, httpx.ProtocolError) else repr(error)
            log.warning("the upstream %s gave no response: %s", self._url, reason)
            await asgi.refuse(scope, send, _refusal(error))
            return
        async with contextlib.aclosing(response):
            await self._respond(response, send)

    async def _request(self, scope: asgi.Scope, upload: _Upload) -> httpx.Response:
        """Send the request and return the head of the response."""
        timeouts = self._timeout.as_dict()
        extensions = {"timeout": timeouts, "target": self._url.raw_path.rstrip(b"/") + _target(scope)}
        headers = await self._request_headers(scope, upload)
        request = httpx.Request(scope["method"], self._url, headers=headers, stream=upload, extensions=extensions)
        response = await self._transport().handle_async_request(request)
        timeouts["read"] = None  # From here on silence is legal: this may be a stream of events.
        return response

    async def _request_headers(self, scope: asgi.Scope, upload: _Upload) -> asgi.Headers:
        chunked = any(asgi.header_values(scope, b"transfer-encoding"))
        dropped = _NOT_FORWARDED | {b"content-length"} if chunked else _NOT_FORWARDED
        # A client must not rid itself of the guard's header by naming it in `connection`.
        headers = _end_to_end(scope["headers"], dropped, kept=scope.get("session_id", "").encode() or None)
        if chunked or (all(name != b"content-length" for name, _ in headers) and await upload.has_content()):
            headers.append((b"transfer-encoding", b"chunked"))
        return [(b"host", self._url.netloc), *headers, *_forwarded(scope)]

    async def _respond(self, response: httpx.Response, send: asgi.Send) -> None:
        headers = _end_to_end(response.headers.raw, _HOP_BY_HOP | {b"x-sessionguard-status"})
        await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
        try:
            async for chunk in response.aiter_raw():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except httpx.TransportError as error:
            # Without its last message the response is broken off by the server, which is what the client must see.
            log.error("the upstream %s broke off in mid-response: %s", self._url, type(error).__name__)
            return
        await send({"type": "http.response.body", "body": b""})

    def _transport(self) -> httpx.AsyncHTTPTransport:
        loop = asyncio.get_running_loop()
        if loop not in self._transports:
            for closed in [known for known in list(self._transports) if known.is_closed()]:
                self._transports.pop(closed, None)
            self._transports[loop] = httpx.AsyncHTTPTransport(trust_env=False, limits=_LIMITS)
        return self._transports[loop]


class _Upload(httpx.AsyncByteStream):
    """The request body on its way; a few parts are held at most, and the client is watched meanwhile."""

    def __init__(self, receive: asgi.Receive) -> None:
        self._receive = receive
        self._parts: asyncio.Queue[asgi.Message] = asyncio.Queue(1)
        self._seen: list[asgi.Message] = []

    async def pump(self) -> None:
        """Take in what the client sends; returns when the client has left."""
        while (message := await self._receive())["type"] != "http.disconnect":
            await self._parts.put(message)

    async def has_content(self) -> bool:
        """Wait for the first part and say whether there is a body."""
        self._seen.append(await self._parts.get())
        return bool(self._seen[0].get("body") or self._seen[0].get("more_body"))

    async def __aiter__(self) -> AsyncIterator[bytes]:
        more = True
        while more:
            message = self._seen.pop() if self._seen else await self._parts.get()
            more = message.get("more_body", False)
            yield message.get("body", b"")


def _end_to_end(headers: asgi.Headers, dropped: frozenset[bytes], kept: bytes | None = None) -> asgi.Headers:
    """Return the headers without `dropped` and those `connection` names, unless the value of the latter is `kept`."""
    connection = [value.lower() for name, value in headers if name.lower() == b"connection"]
    named = {token.strip() for value in connection for token in value.split(b",")}
    pairs = [(name.lower(), value) for name, value in headers if asgi.one_spelling(name) not in dropped]
    return [(name, value) for name, value in pairs if name not in named or value == kept]


def _forwarded(scope: asgi.Scope) -> asgi.Headers:
    addresses = [*asgi.header_values(scope, b"x-forwarded-for"), (scope.get("client") or ("",))[0].encode()]
    values = (
        b", ".join(filter(None, addresses)),
        b", ".join(asgi.header_values(scope, b"host")),
        scope.get("scheme", "http").encode(),
    )
    return [(name, value) for name, value in zip(_ADDRESSES, values, strict=True) if value]


def _target(scope: asgi.Scope) -> bytes:
    """Return path and query as the client spelled them, from below the mount point on."""
    path = scope.get("raw_path") or quote(scope["path"], safe="/:@!$&'()*+,;=~").encode()
    segments = re.sub(rb"\A[A-Za-z][A-Za-z0-9+.-]*://[^/]*", b"", path).split(b"/")
    mount = scope.get("root_path", "").rstrip("/")
    depth = mount.count("/") + 1
    if unquote(b"/".join(segments[:depth])) == mount:
        segments = [b"", *segments[depth:]]
    return b"?".join(filter(None, [b"/".join(segments) or b"/", scope["query_string"]]))


def _refusal(error: httpx.TransportError) -> Refusal:
    if isinstance(error, httpx.TimeoutException):
        return UpstreamTimeout("The upstream server did not answer in time.")
    return UpstreamUnreachable("The upstream server is not reachable, or broke off before it answered; try again.")


def _upstream_url(text: str) -> httpx.URL:
    with contextlib.suppress(httpx.InvalidURL, TypeError):
        url = httpx.URL(text)
        legal = url.scheme in ("http", "https") and url.host and url.port in (None, *range(1, 65536))
        if legal and len(text.split()) == 1 and not (url.userinfo or url.query or url.fragment):
            return url
    shown = "a URL with a user (hidden)" if "@" in str(text) else repr(text)
    raise ConfigurationError(f"upstream: {shown} is not legal; expected http://host:port or https, and at most a path")
