"""The way past the gate, for whatever has nothing to wait for."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable

from sessionguard import Resolution, asgi

NEVER = -1


class Door:
    """Lets in what has nothing to wait for, nearly all requests there are where only new conversations are gated.

    It costs them no coroutine. This is a class of its own because looking up an attribute of one that has
    `__getattr__`, as the gate has, takes twice as long. Conversations that began before `old_until`, in milliseconds
    since the epoch, are not gated.
    """

    __slots__ = ("_app", "_gate", "old_until")

    def __init__(self, app: asgi.ASGIApp, gate: Callable[..., Awaitable[None]]) -> None:
        self._app = app
        self._gate = gate
        self.old_until = NEVER

    @asgi.handing_on
    def enter(self, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> Awaitable[None]:
        resolution = scope.get("sessionguard")
        if not isinstance(resolution, Resolution) or (resolution.session_started_at or math.inf) <= self.old_until:
            return self._app(scope, receive, send)
        return self._gate(scope, receive, send, resolution)
