"""A real server for all tests, a database of its own for each."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from clean_environment import clean_environment  # noqa: F401 - a fixture
from isolation import only
from postgres_server import NoServer, PostgresServer, find_programs, running
from sessionguard_postgres import PostgresStore, connector, pool

_numbers = itertools.count()


only_postgres = only("postgres")


@pytest.fixture(autouse=True)
def _no_settings_of_libpq(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PG")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def programs() -> Path:
    """The directory of Postgres' programs; none is a failure in CI, and a skip with its reason elsewhere."""
    try:
        return find_programs()
    except NoServer as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def server(programs: Path) -> Iterator[PostgresServer]:
    with running(programs) as server:
        yield server


@pytest.fixture
def database(server: PostgresServer) -> Iterator[str]:
    """The name of an empty database."""
    name = f"test_{next(_numbers)}"
    server.query(f"create database {name}")
    yield name
    server.query(f"drop database {name} with (force)")


@pytest.fixture
def store_url(server: PostgresServer, database: str) -> str:
    return server.url(database, create_schema="on")


@pytest.fixture
def store(store_url: str) -> PostgresStore:
    return PostgresStore(store_url)


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Statements may take their time; for tests of what is done, and not of when, on a machine that is busy."""
    monkeypatch.setattr(pool, "STATEMENT_SECONDS", 60.0)
    monkeypatch.setattr(pool, "JOB_SECONDS", 60.0)
    monkeypatch.setitem(connector.SESSION, "statement_timeout", "60s")


Rows = Callable[[str], list[tuple[object, ...]]]


@pytest.fixture
def rows(server: PostgresServer, database: str) -> Rows:
    """Ask the database past the store."""
    return lambda statement: server.query(statement, database=database)
