"""The frameworks of the matrix: what all of them do, and where each differs and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Framework:
    """What to expect of `tests/apps/<name>_app.py`; the defaults are the common behaviour."""

    places: frozenset[str]
    """Where a handler of this framework looks for the id."""

    websocket_places: frozenset[str] = frozenset()
    """The same in a WebSocket handler."""

    handshake: tuple[int, str | None] = (101, "new")
    """Status and `x-sessionguard-status` of a WebSocket handshake with a new key."""

    added_headers: frozenset[str] = frozenset()
    """Request headers its API shows that nobody sent."""

    startup: tuple[str, ...] = ("started",)
    shutdown: tuple[str, ...] = ("stopped",)
    """What its lifespan hooks note."""

    scope_writes: frozenset[str] = frozenset({"state.mark"})
    """What middleware outside sees of the application's writes when the guard has nothing to add to the scope."""

    crash_origin: str | None = "new"
    """The `x-sessionguard-status` of the 500 that an exception becomes."""


_SCOPE_AND_HEADER = frozenset({"scope", "header"})
_WITH_STATE = _SCOPE_AND_HEADER | {"state"}

FRAMEWORKS: Mapping[str, Framework] = {
    "starlette": Framework(
        places=_WITH_STATE,
        websocket_places=_WITH_STATE,
        # Its router writes into the scope it is given; `request.state` is a view of `scope["state"]`.
        scope_writes=frozenset({"state.mark", "endpoint", "path_params"}),
        # ServerErrorMiddleware stands outside everything `add_middleware` adds, so its 500 never passes the guard.
        crash_origin=None,
    ),
    "fastapi": Framework(
        places=_WITH_STATE,
        websocket_places=_WITH_STATE,
        # As Starlette, and its own routes add themselves: what metrics middleware outside the guard would like to read.
        scope_writes=frozenset({"state.mark", "endpoint", "path_params", "route"}),
        # As Starlette.
        crash_origin=None,
    ),
    "litestar": Framework(
        places=_WITH_STATE,
        websocket_places=_WITH_STATE,
        # Its router writes into the scope it is given; `request.state` is a view of `scope["state"]`.
        scope_writes=frozenset({"state.mark", "route_handler", "path_params"}),
    ),
    "quart": Framework(
        # No request state; its `g` never touches the scope.
        places=_SCOPE_AND_HEADER,
        websocket_places=_SCOPE_AND_HEADER,
        # It hands the client's address on as a header of its own.
        added_headers=frozenset({"remote-addr"}),
    ),
    "django": Framework(
        # No request state, but the WSGI names.
        places=_SCOPE_AND_HEADER | {"META"},
        # Without Channels Django raises on a WebSocket scope, and the 500 is the server's own, past the guard.
        handshake=(500, None),
        # Django raises on a lifespan scope; the server goes on without one.
        startup=(),
        shutdown=(),
    ),
    "falcon": Framework(
        # No request state; its `req.context` never touches the scope.
        places=_SCOPE_AND_HEADER,
        websocket_places=_SCOPE_AND_HEADER,
    ),
}
