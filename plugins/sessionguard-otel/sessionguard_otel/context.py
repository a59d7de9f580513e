"""The session of whatever runs on behalf of a request.

It is in a variable of its own and not in the context of OpenTelemetry, because instrumentation behind the guard begins
with an empty one when no trace came along. A server may start the next request of a connection out of the last message
of the one before, in its context: so that message is sent in the context in which the request came.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

from opentelemetry import baggage, context
from opentelemetry.context import Context

from sessionguard import Resolution
from sessionguard.admission import SCOPE_KEY
from sessionguard.asgi import ASGIApp, Message, Receive, Scope, Send, ends_response
from sessionguard_otel.attributes import SESSION_ID

current: ContextVar[Resolution | None] = ContextVar("sessionguard_otel", default=None)


class Attaching:
    """Middleware that runs `app` with its session known; with `carries_baggage`, other services are told the id."""

    def __init__(self, app: ASGIApp, *, carries_baggage: bool) -> None:
        self._app = app
        self._carries_baggage = carries_baggage

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        resolution, before = scope.get(SCOPE_KEY), context.get_current()

        async def leaving(message: Message) -> None:
            if ends_response(message):
                with _attached(None, before):
                    await send(message)
            else:
                await send(message)

        with _attached(resolution, self._during(resolution, before)):
            await self._app(scope, receive, leaving)

    def _during(self, resolution: Resolution | None, before: Context) -> Context:
        if resolution is None or not self._carries_baggage:
            return before
        return baggage.set_baggage(SESSION_ID, resolution.session_id, before)


@contextlib.contextmanager
def _attached(resolution: Resolution | None, attached: Context) -> Iterator[None]:
    known, token = current.set(resolution), context.attach(attached)
    try:
        yield
    finally:
        context.detach(token)
        current.reset(known)
