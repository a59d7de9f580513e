"""ASGI as values: headers, copied scopes, refusals as messages.

Nothing here changes a scope or a message it was given; every change is made on a copy of the level it touches.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Collection, Iterator, MutableMapping
from http import HTTPStatus
from typing import Any, cast

from asgiref.compatibility import guarantee_single_callable
from asgiref.sync import markcoroutinefunction

from sessionguard.errors import Refusal

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]
Header = tuple[bytes, bytes]
Headers = list[Header]

PROBLEM_JSON = "application/problem+json"

_POLICY_VIOLATION, _TRY_AGAIN_LATER = 1008, 1013


def single_callable(app: Callable[..., Any]) -> ASGIApp:
    """Return `app` as an ASGI 3 application; ASGI 2 applications are adapted."""
    return cast("ASGIApp", guarantee_single_callable(app))  # type: ignore[no-untyped-call]


def handing_on(call: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """Mark a plain function that returns what another application does, so that it is seen to be an ASGI 3 one."""
    return markcoroutinefunction(call)


def header_values(scope: Scope, name: bytes) -> Iterator[bytes]:
    """Yield the values of the lower-case header `name`; names in the scope are compared without case."""
    return (value for header, value in scope["headers"] if header.lower() == name)


def ends_response(message: Message) -> bool:
    """Whether a server may go on to the next request of the connection with this message, inside of its `send`.

    What runs in there runs in the context of this request, whosever it is; a body with trailers behind it counts.
    """
    more = message.get("more_body", False) or message.get("more_trailers", False)
    return not more and message["type"].startswith("http.response.") and message["type"] != "http.response.start"


def with_headers_listed(scope: Scope) -> Scope:
    """Return a scope whose headers are a list of pairs; the specification allows any iterable, of iterables of two."""
    return {**scope, "headers": [(name, value) for name, value in scope["headers"]]}


def one_spelling(name: bytes) -> bytes:
    """Return a header name in lower case with `-` for `_`, since some frameworks take the two for the same."""
    return name.lower().replace(b"_", b"-")


def without_headers(headers: Headers, names: Collection[bytes]) -> Headers:
    """Return the headers that have none of these names, however they are spelled."""
    return [pair for pair in headers if one_spelling(pair[0]) not in names]


async def refuse(scope: Scope, send: Send, error: Refusal) -> None:
    """Answer the request with `error`; a WebSocket is refused before it is accepted."""
    if scope["type"] == "websocket" and "websocket.http.response" not in (scope.get("extensions") or {}):
        code = _TRY_AGAIN_LATER if error.retry_after is not None else _POLICY_VIOLATION
        await send({"type": "websocket.close", "code": code, "reason": error.code})
        return
    prefix = "websocket.http.response" if scope["type"] == "websocket" else "http.response"
    content_type, body = _render(scope, error)
    await send(
        {"type": f"{prefix}.start", "status": error.status, "headers": _refusal_headers(error, content_type, body)}
    )
    await send({"type": f"{prefix}.body", "body": body})


def _render(scope: Scope, error: Refusal) -> tuple[str, bytes]:
    accepted = b",".join(header_values(scope, b"accept")).lower()
    if PROBLEM_JSON.encode() in accepted:
        title = HTTPStatus(error.status).phrase
        problem = {"type": "about:blank", "title": title, "status": error.status, "detail": error.message}
        return PROBLEM_JSON, json.dumps({**problem, "code": error.code}).encode()
    envelope = {"message": error.message, "type": error.kind, "param": error.param, "code": error.code}
    return "application/json", json.dumps({"error": envelope}).encode()


def _refusal_headers(error: Refusal, content_type: str, body: bytes) -> Headers:
    headers = {"content-type": content_type, "content-length": str(len(body)), "cache-control": "no-store"}
    if error.retry_after is not None:
        headers["retry-after"] = str(error.retry_after)
    if error.should_retry is not None:
        headers["x-should-retry"] = str(error.should_retry).lower()
    return [(name.encode(), value.encode()) for name, value in headers.items()]
