"""The answer of an application whose request was gated: it says how long that took, and is watched for a sign.

The sign that an application has found its conversation is the first thing it says in an answer that is no error. The
head of a response is none: gateways send the head of a stream before they look the conversation up.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sessionguard.asgi import Message, Send

WAIT_HEADER = b"x-sessionguard-wait-ms"
FIRST_ERROR = 400


class Answer:
    """A `send` that adds the header to the head, passes everything on as it comes, and calls `settle` at the sign.

    `waited` is in seconds.
    """

    def __init__(self, send: Send, waited: float, settle: Callable[[], None] | None = None) -> None:
        self._send = send
        self._header = WAIT_HEADER, b"%d" % (1000 * waited)
        self._settle = settle
        self._is_good = False

    def __call__(self, message: Message) -> Awaitable[None]:
        kind = message["type"]
        if kind in ("http.response.start", "websocket.http.response.start", "websocket.accept"):
            self._is_good = message.get("status", 0) < FIRST_ERROR
            message = {**message, "headers": [*message.get("headers", ()), self._header]}
        elif self._settle is not None and self._is_good and _says_something(message):
            settle, self._settle = self._settle, None
            settle()
        return self._send(message)


def _says_something(message: Message) -> bool:
    match message["type"]:
        case "http.response.body":
            return bool(message.get("body") or not message.get("more_body"))
        case "websocket.send":
            return bool(message.get("text") or message.get("bytes"))
        case "http.response.pathsend" | "http.response.zerocopysend":
            return True
    return False
