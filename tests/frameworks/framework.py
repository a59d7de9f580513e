"""The frameworks of the matrix: what all of them do, and where each differs and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple


@dataclass(frozen=True)
class Framework:
    """What to expect of `tests/apps/<name>_app.py`; the defaults are the common behaviour."""

    distribution: str
    """Its name in the package index; plain ASGI has a reference implementation."""

    places: frozenset[str]
    """Where a handler of this framework looks for the id."""

    websocket_places: frozenset[str] = frozenset()
    """The same in a WebSocket handler; empty where there are none."""

    added_headers: frozenset[str] = frozenset()
    """Request headers its API shows that nobody sent."""

    has_lifespan: bool = True
    """Whether it has hooks that run when the server starts and stops."""

    without_lifespan: tuple[str, ...] = ()
    """What those hooks note on a server that tells neither."""

    streams_uploads: bool = True
    """Whether a handler is given the first chunk of a body before the last one has arrived."""

    head: int = 200
    """What a HEAD is answered on a route for GET."""

    root_path: Literal["cuts", "ignores", "demands"] = "cuts"
    """What its router does with a prefix that a proxy has cut off: it cuts it off a path that begins with it, looks for
    the whole path, or demands a path that begins with it."""

    crash_origin: str | None = "new"
    """The `x-sessionguard-status` of the 500 that an exception becomes."""

    client_meets_guard: bool = True
    """Whether the test client it brings calls the application that is served."""

    scope_writes: frozenset[str] = frozenset({"state.mark"})
    """What middleware outside sees of the application's writes when the guard has nothing to add to the scope."""


_SCOPE_AND_HEADER = frozenset({"scope", "header"})
_WITH_STATE = _SCOPE_AND_HEADER | {"state"}

FRAMEWORKS: Mapping[str, Framework] = {
    "plain": Framework(
        "asgiref",
        _SCOPE_AND_HEADER,
        _SCOPE_AND_HEADER,
        # Its 500 is the server's own, past the guard.
        crash_origin=None,
    ),
    "starlette": Framework(
        "starlette",
        _WITH_STATE,
        _WITH_STATE,
        # ServerErrorMiddleware stands outside everything `add_middleware` adds, so its 500 never passes the guard.
        crash_origin=None,
        # Its router writes into the scope it is given; `request.state` is a view of `scope["state"]`.
        scope_writes=frozenset({"state.mark", "endpoint", "path_params"}),
    ),
    "fastapi": Framework(
        "fastapi",
        _WITH_STATE,
        _WITH_STATE,
        # Starlette adds HEAD to a route for GET, FastAPI does not.
        head=405,
        # As Starlette.
        crash_origin=None,
        # As Starlette, and its own routes add themselves: what metrics middleware outside the guard would like to read.
        scope_writes=frozenset({"state.mark", "endpoint", "path_params", "route"}),
    ),
    "litestar": Framework(
        "litestar",
        _WITH_STATE,
        _WITH_STATE,
        # It has a decorator of its own for HEAD.
        head=405,
        # Its router writes into the scope it is given; `request.state` is a view of `scope["state"]`.
        scope_writes=frozenset({"state.mark", "route_handler", "path_params"}),
    ),
    "quart": Framework(
        "quart",
        # No request state; its `g` never touches the scope.
        _SCOPE_AND_HEADER,
        _SCOPE_AND_HEADER,
        # It hands the client's address on as a header of its own.
        added_headers=frozenset({"remote-addr"}),
        root_path="demands",
    ),
    "django": Framework(
        "django",
        # No request state, but the WSGI names. Without Channels Django raises on a WebSocket scope.
        _SCOPE_AND_HEADER | {"META"},
        # Django raises on a lifespan scope; the server goes on without one.
        has_lifespan=False,
        # `AsyncClient` has a handler of its own.
        client_meets_guard=False,
        # It keeps a body on disk before it calls the view.
        streams_uploads=False,
    ),
    "channels": Framework(
        "channels",
        _SCOPE_AND_HEADER | {"META"},
        _SCOPE_AND_HEADER,
        # Its router raises on a protocol it was not told of, and the HTTP half is Django.
        has_lifespan=False,
        streams_uploads=False,
    ),
    "falcon": Framework(
        "falcon",
        # No request state; its `req.context` never touches the scope.
        _SCOPE_AND_HEADER,
        _SCOPE_AND_HEADER,
        # A resource has `on_head`, or no HEAD.
        head=405,
        root_path="ignores",
    ),
    "blacksheep": Framework(
        "blacksheep",
        # No request state.
        _SCOPE_AND_HEADER,
        _SCOPE_AND_HEADER,
        # `TestClient` hands a request to the application's own `handle`.
        client_meets_guard=False,
        # Its first request starts it, where no server does.
        without_lifespan=("started",),
        # Its router knows no other method on a path than those that were given.
        head=404,
    ),
    "sanic": Framework(
        "sanic",
        # No request state; its `request.ctx` never touches the scope.
        _SCOPE_AND_HEADER,
        _SCOPE_AND_HEADER,
        root_path="ignores",
        # `asgi_client` calls the Sanic object.
        client_meets_guard=False,
    ),
    "flask": Framework(
        "flask",
        # WSGI has no WebSockets and no lifespan; a2wsgi puts the scope into the environ, and ends such scopes itself.
        # On Daphne and Granian its threads wait for a loop that has stopped, unless the application lets requests end.
        _SCOPE_AND_HEADER | {"environ"},
        has_lifespan=False,
        # `test_client()` speaks WSGI.
        client_meets_guard=False,
    ),
}


class Broken(NamedTuple):
    """What fails in a cell, one of `ATTEMPTS` of `test_broken.py`, and why."""

    what: str
    why: str


BROKEN: Mapping[tuple[str, str], Broken] = {
    ("sanic", "daphne"): Broken(
        "requests", "Sanic takes its event loop from the lifespan, which Daphne does not have."
    ),
    ("quart", "daphne"): Broken("websockets", "Quart looks for the scheme of a WebSocket, which Daphne does not tell."),
    ("flask", "granian"): Broken(
        "uploads", "a2wsgi wants `receive()` to be a coroutine, where Granian gives another awaitable."
    ),
}
"""What does not work on a server without a guard either."""
