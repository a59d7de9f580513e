"""An ASGI application that remembers what it was given, and one exchange with an application as plain messages."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from sessionguard.asgi import ASGIApp, Message, Receive, Scope, Send


class AppProbe:
    """An application that keeps every scope it is called with and answers 200, or accepts and closes a WebSocket."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []

    @property
    def scope(self) -> Scope:
        """The scope of the last call."""
        return self.scopes[-1]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
            await send({"type": "http.response.body", "body": b"ok"})
        elif scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.close", "code": 1000})


class Exchange:
    """One request to `app` with headers as given; `sent` are the messages it answered with, in order."""

    def __init__(self, app: ASGIApp, headers: Iterable[tuple[bytes, bytes]] = (), **scope: Any) -> None:
        self.app = app
        self.scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.5"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": "/",
            "raw_path": b"/",
            "query_string": b"",
            "root_path": "",
            "headers": headers,
            **scope,
        }
        self.sent: list[Message] = []

    async def run(self) -> Exchange:
        """Call the application with an empty body behind the request."""
        connect = {"type": "websocket.connect"} if self.scope["type"] == "websocket" else {"type": "http.request"}
        waiting: list[Message] = [{**connect, "body": b"", "more_body": False}]

        async def receive() -> Message:
            if waiting:
                return waiting.pop()
            return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

        async def send(message: Message) -> None:
            self.sent.append(message)

        await self.app(self.scope, receive, send)
        return self

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the response or of the accepted handshake, by lower-case name."""
        return {name.decode(): value.decode() for name, value in self.sent[0].get("headers", ())}
