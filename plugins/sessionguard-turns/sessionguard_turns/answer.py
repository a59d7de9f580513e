"""The response of a request that took a turn: adds how long the request waited, and watches for its end.

A conversation counts as established when a first answer has ended: status below 400 and a complete body. Earlier parts
prove nothing, since gateways send the head and events of a stream before they resolve the session. An application that
knows better says so with the header or trailer `x-sessionguard-ready`, which is removed here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sessionguard import asgi
from sessionguard.asgi import Message, Send

WAIT_HEADER = b"x-sessionguard-wait-ms"
READY_HEADER = b"x-sessionguard-ready"
FIRST_ERROR = 400

_HEADS = ("http.response.start", "websocket.http.response.start", "websocket.accept")
_WITH_HEADERS = (*_HEADS, "http.response.trailers")


class Answer:
    """A `send` that adds `x-sessionguard-wait-ms` and calls `settle` once, when the conversation is established.

    `waited` is in seconds. `settle` is called before the message that ends the response is passed on, so that a client
    that has the whole answer never meets a closed gate.
    """

    def __init__(
        self, send: Send, waited: float, settle: Callable[[], None] | None, on_ready: Callable[[], None]
    ) -> None:
        self._send = WithoutReady(send, on_ready)
        self._header = WAIT_HEADER, b"%d" % (1000 * waited)
        self._settle = settle
        self._is_good = False
        self.is_broken_off = True
        """Whether the response has neither failed nor ended."""

    def __call__(self, message: Message) -> Awaitable[None]:
        kind = message["type"]
        if kind in _HEADS:
            self._is_good = kind == "http.response.start" and message.get("status", FIRST_ERROR) < FIRST_ERROR
            self.is_broken_off = self._is_good
            message = {**message, "headers": [*message.get("headers", ()), self._header]}
        if asgi.ends_response(message):
            self.is_broken_off = False
        if self._settle is not None and ((self._is_good and asgi.ends_response(message)) or is_ready(message)):
            settle, self._settle = self._settle, None
            settle()
        return self._send(message)


class WithoutReady:
    """A `send` that removes the header `x-sessionguard-ready`, and calls `on_ready` when it has removed one."""

    def __init__(self, send: Send, on_ready: Callable[[], None]) -> None:
        self._send = send
        self._on_ready = on_ready

    def __call__(self, message: Message) -> Awaitable[None]:
        if is_ready(message):
            self._on_ready()
            kept = [pair for pair in message["headers"] if pair[0].lower() != READY_HEADER]
            message = {**message, "headers": kept}
        return self._send(message)


def is_ready(message: Message) -> bool:
    """Return whether the message has the header or trailer `x-sessionguard-ready`, with any value."""
    return message["type"] in _WITH_HEADERS and any(
        name.lower() == READY_HEADER for name, _ in message.get("headers", ())
    )
