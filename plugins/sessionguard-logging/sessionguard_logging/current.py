"""Whose request this is, for whatever runs on its behalf: tasks it starts and threads it hands work to.

A server may start the next request of a connection out of the last message of the one before, in its context. So the
session is taken away for just that message; what the application does behind its answer still has it.
"""

from __future__ import annotations

from contextvars import ContextVar

from sessionguard import Resolution
from sessionguard.admission import SCOPE_KEY
from sessionguard.asgi import ASGIApp, Message, Receive, Scope, Send, ends_response

current: ContextVar[Resolution | None] = ContextVar("sessionguard_logging", default=None)


class Remembering:
    """Middleware that knows the session while `app` runs, and no other one, not even where a request has none."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        token = current.set(scope.get(SCOPE_KEY))
        try:
            await self._app(scope, receive, _forgetful(send))
        finally:
            current.reset(token)


def _forgetful(send: Send) -> Send:
    async def forgetting(message: Message) -> None:
        if not ends_response(message):
            await send(message)
            return
        token = current.set(None)
        try:
            await send(message)
        finally:
            current.reset(token)

    return forgetting
