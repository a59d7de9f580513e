"""Requests on their way to the upstream and back, both bodies streamed.

It stands on httpx's transport, not on its client: a client keeps cookies, reads redirects and signs requests, and a
proxy must do none of that.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import httpx

from sessionguard import asgi
from sessionguard.proxy import headers
from sessionguard.proxy.upstream import Upstream, log

_LIMITS = httpx.Limits(keepalive_expiry=2.0)  # uvicorn and Node hang up on idle connections after 5 s: be the first


class HttpForwarder:
    """Sends requests to `upstream`, over connections that each event loop has for itself."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._timeout = httpx.Timeout(upstream.first_byte_timeout, connect=upstream.connect_timeout, pool=None)
        self._transports: dict[asyncio.AbstractEventLoop, httpx.AsyncHTTPTransport] = {}

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        with contextlib.suppress(KeyError):
            await self._transports.pop(asyncio.get_running_loop()).aclose()

    async def forward(self, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
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
            late = isinstance(error, httpx.TimeoutException)
            await asgi.refuse(scope, send, self._upstream.no_answer(reason, late=late))
            return
        async with contextlib.aclosing(response):
            if headers.is_ready(response.headers.raw) and (turn := scope.get("sessionguard.turn")) is not None:
                turn.ready()
            await self._respond(response, send)

    async def _request(self, scope: asgi.Scope, upload: _Upload) -> httpx.Response:
        """Send the request and return the head of the response."""
        timeouts = self._timeout.as_dict()
        extensions = {"timeout": timeouts, "target": self._upstream.target(scope)}
        request = httpx.Request(
            scope["method"],
            self._upstream.url,
            headers=await self._request_headers(scope, upload),
            stream=upload,
            extensions=extensions,
        )
        response = await self._transport().handle_async_request(request)
        timeouts["read"] = None  # From here on silence is legal: this may be a stream of events.
        return response

    async def _request_headers(self, scope: asgi.Scope, upload: _Upload) -> asgi.Headers:
        chunked = any(asgi.header_values(scope, b"transfer-encoding"))
        passed = headers.of_request(
            scope,
            frozenset({b"content-length"} if chunked else ()),
            canonical_key=self._upstream.gets_canonical_key,
        )
        if chunked or (all(name != b"content-length" for name, _ in passed) and await upload.has_content()):
            passed.append((b"transfer-encoding", b"chunked"))
        return [(b"host", self._upstream.url.netloc), *passed, *headers.forwarded(scope)]

    async def _respond(self, response: httpx.Response, send: asgi.Send) -> None:
        passed = headers.of_response(response.headers.raw)
        await send({"type": "http.response.start", "status": response.status_code, "headers": passed})
        try:
            async for chunk in response.aiter_raw():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except httpx.TransportError as error:
            # Without its last message the response is broken off by the server, which is what the client must see.
            log.error("the upstream %s broke off in mid-response: %s", self._upstream.url, type(error).__name__)
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
