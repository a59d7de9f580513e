"""What a URL may say, and what is said about one that is not understood."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from postgres_server import PostgresServer
from sessionguard_postgres import PostgresStore
from sessionguard_postgres.url import parse

from sessionguard import ConfigurationError, GuardSettings
from sessionguard.testing.opening import open_store


@pytest.mark.parametrize("scheme", ["postgresql", "postgres"])
def test_the_guard_finds_the_store_by_its_scheme(scheme: str) -> None:
    """The plugin is installed, so a URL is all there is to do; nothing is opened."""
    store = open_store(f"{scheme}://host/database")

    assert isinstance(store, PostgresStore)
    assert (store.location, store.coordination) == (f"{scheme}://host/database", "cluster")


def test_the_driver_is_given_its_own_options_and_no_others() -> None:
    """Options of ours are taken out, the rest is passed on as it stands."""
    url = parse("postgres://me:s%40t@one:1,two:2/db?pool_size=7&sslmode=require&options=-c%20work_mem%3D1MB&pooler=on")

    assert url.dsn == "postgresql://me:s%40t@one:1,two:2/db?sslmode=require&options=-c%20work_mem%3D1MB"
    assert (url.pool_size, url.pooler, url.create_schema, url.synchronous_commit) == (7, True, False, None)


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://me:secret@host:5432/db",
        "postgresql://me:secret@host:5432/db?sslpassword=secret",
        "postgresql://host:5432/db?user=me&password=secret",
        "postgresql://me:se%2Fcret@host/db",
    ],
)
def test_a_location_hides_the_password(text: str) -> None:
    """Logs and messages show the place and the user."""
    location = PostgresStore(text).location

    assert "cret" not in location
    assert "host" in location
    assert "db" in location


@pytest.mark.parametrize(
    ("rest", "told"),
    [
        ("host/db?pool_sise=3", "unknown option pool_sise; did you mean pool_size?"),
        ("host/db?zzz=3", "unknown option zzz; known are application_name, connect_timeout"),
        ("host/db?keepalives=1", "unknown option keepalives"),
        ("host/db?pool_size=0", "illegal pool_size; write a number from 1 to 1000"),
        ("host/db?pool_size=many", "illegal pool_size"),
        ("host/db?connect_timeout=-1", "illegal connect_timeout"),
        ("host/db?create_schema=yes", "illegal create_schema; write one of on, off"),
        ("host/db?pooler=transaction", "illegal pooler"),
        ("host/db?synchronous_commit=never", "illegal synchronous_commit; write one of on, off, local"),
        ("host/db?pool_size=1&pool_size=2", "an option twice"),
        ("me:secret@word@host/db", "write %40 for @"),
        ("host/db/table", "is not understood"),
        ("host/db#fragment", "is not understood"),
    ],
)
def test_a_url_that_is_not_understood_says_why_and_hides_the_password(rest: str, told: str) -> None:
    """At construction, before anything is opened."""
    with pytest.raises(ConfigurationError) as refused:
        PostgresStore.from_url(f"postgresql://{rest}", GuardSettings())

    assert told in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.server
@pytest.mark.parametrize(
    ("option", "told"),
    [("sslmode=perhaps", "sslmode"), ("target_session_attrs=nearest", "target_session_attrs")],
)
def test_what_the_driver_does_not_understand_stops_the_start(server: PostgresServer, option: str, told: str) -> None:
    """It will not mend itself, so a client is not asked to try again."""
    with pytest.raises(ConfigurationError, match=told):
        asyncio.run(PostgresStore(f"{server.url('postgres')}?{option}").ping())


@pytest.mark.server
async def test_options_of_the_driver_reach_the_server(
    server: PostgresServer, database: str, rows: Callable[[str], list[tuple[object, ...]]]
) -> None:
    """A directory of sockets for a host, the name an administrator sees, and settings of the session."""
    rows("create schema ours")
    place = f"host={server.directory}&port={server.port}&user=sessionguard&application_name=mine"
    store = PostgresStore(f"postgresql:///{database}?{place}&options=-c%20search_path%3Dours&create_schema=on")
    await store.ping()
    seen = rows("select client_addr, application_name from pg_stat_activity where application_name = 'mine'")
    await store.aclose()

    assert seen == [(None, "mine")]
    assert rows("select schemaname from pg_tables where tablename = 'sessionguard_sessions'") == [("ours",)]
