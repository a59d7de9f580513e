"""The fast path: requests that need no turn, in a process where only first turns are gated."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container

from sessionguard import Resolution, asgi
from sessionguard_turns.answer import WithoutReady


class Door:
    """Passes requests without a resolution and those of `established` session ids to the application, others to `gate`.

    This is a class of its own because an attribute of a class with `__getattr__`, such as the gate, takes twice as long
    to look up. `removes_ready` becomes true when the application has sent the header `x-sessionguard-ready`, and keeps
    it from clients here as well; applications that never send it pay nothing.
    """

    __slots__ = ("_app", "_gate", "established", "removes_ready")

    def __init__(self, app: asgi.ASGIApp, gate: Callable[..., Awaitable[None]]) -> None:
        self._app = app
        self._gate = gate
        self.established: Container[str] = ()
        self.removes_ready = False

    @asgi.handing_on
    def enter(self, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> Awaitable[None]:
        resolution = scope.get("sessionguard")
        if not isinstance(resolution, Resolution):
            return self._app(scope, receive, send)
        if resolution.session_id in self.established:
            return self._app(scope, receive, WithoutReady(send, self.note_ready) if self.removes_ready else send)
        return self._gate(scope, receive, send, resolution)

    def note_ready(self) -> None:
        """Remember that the application sends the header `x-sessionguard-ready`."""
        self.removes_ready = True
