"""One agent behind one guard on one disk store, and the bytes that store holds as another connection reads them."""

from __future__ import annotations

import contextlib
import runpy
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from asgi_lifespan import LifespanManager
from clean_environment import clean_environment  # noqa: F401 - a fixture
from isolation import only

from sessionguard import SessionGuard
from sessionguard.asgi import ASGIApp, Receive, Scope, Send
from sessionguard.keys import row_key
from sessionguard.store import wall_clock
from sessionguard.stores.disk.store import DiskStore

only_handoff = only("handoff")

HERE = Path(__file__).parent


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> str:
    """A handoff secret, and the environment that holds it."""
    known = "correct-horse-battery-staple"
    monkeypatch.setenv("SESSIONGUARD_HANDOFF_SECRETS", known)
    return known


@pytest.fixture
def handoff(secret: str) -> dict[str, str]:
    """The headers of a conversation's internal request."""
    return {
        "x-openclaw-session-key": "final-1779465436",
        "x-openclaw-session-effects": "internal",
        "x-openclaw-handoff-token": secret,
    }


@pytest.fixture
def agent() -> ASGIApp:
    """The application behind the guard."""
    application: ASGIApp = runpy.run_path(str(HERE / "agent.py"))["agent"]
    return application


@pytest.fixture
def store_directory(tmp_path: Path) -> Path:
    """Where the guard keeps its rows."""
    return tmp_path / "sessions"


@pytest.fixture
def serving(agent: ASGIApp, store_directory: Path) -> Callable[..., Any]:
    """Serve the guarded agent with its lifespan; `scope` is what code in front of the guard puts into every scope."""

    @contextlib.asynccontextmanager
    async def serve(scope: Mapping[str, object] | None = None, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
        guard = SessionGuard(agent, **{"store": f"disk://{store_directory}", **options})
        transport = httpx.ASGITransport(app=_behind(scope or {}, guard))
        async with LifespanManager(guard), httpx.AsyncClient(transport=transport, base_url="http://agent") as client:
            yield client

    return serve


def _behind(additions: Mapping[str, object], app: ASGIApp) -> Any:
    async def front(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, **additions}, receive, send)

    return front


@pytest.fixture
def converse(store_directory: Path) -> Callable[..., Awaitable[str]]:
    """Leave the row of a conversation that was last used some minutes ago; returns its session id."""

    async def converse(minutes_ago: int, session_key: str = "final-1779465436") -> str:
        store = DiskStore(store_directory, clock=lambda: wall_clock() - minutes_ago * 60_000)
        key = row_key("default", None, f"agent:main:{session_key}")
        reservation = await store.reserve(key, f"session-of-{session_key}", None)
        await store.aclose()
        return reservation.record.session_id

    return converse


@pytest.fixture
def stored(store_directory: Path) -> Callable[[], list[tuple[Any, ...]]]:
    """Read every column of every row past the store, through a connection of its own."""

    def read() -> list[tuple[Any, ...]]:
        database = f"file:{store_directory / 'cache.db'}?mode=ro"
        with contextlib.closing(sqlite3.connect(database, uri=True)) as connection:
            return connection.execute("SELECT * FROM Cache ORDER BY rowid").fetchall()

    return read


@pytest.fixture
def scanned(store_directory: Path) -> Callable[[], Awaitable[list[tuple[str, Any]]]]:
    """Read every row through the store's own `scan`."""

    async def scan() -> list[tuple[str, Any]]:
        store = DiskStore(store_directory)
        rows = [pair async for pair in store.scan()]
        await store.aclose()
        return rows

    return scan
