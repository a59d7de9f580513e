"""What a store demands of a server before it uses it, and what it tells its operator."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from postgres_server import PostgresServer, running
from sessionguard_postgres import PostgresStore

from sessionguard import ConfigurationError, SessionGuard, StoreUnavailable
from sessionguard.testing import AppProbe, Exchange

pytestmark = pytest.mark.server

Rows = Callable[[str], list[tuple[object, ...]]]


async def ping(url: str) -> PostgresStore:
    """Open the store and close it again."""
    store = PostgresStore(url)
    try:
        await store.ping()
    finally:
        await store.aclose()
    return store


def init(url: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "sessionguard"), "store", "init"]
    env = {**os.environ, "SESSIONGUARD_STORE": url}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)


async def test_a_database_without_our_tables_is_refused_with_its_cure(server: PostgresServer, database: str) -> None:
    """It is more often the wrong database than a new one, and in the wrong one every conversation would be new."""
    with pytest.raises(ConfigurationError, match=r"Is it the right database\? .*sessionguard store init"):
        await ping(server.url(database))


async def test_store_init_makes_the_tables_once(server: PostgresServer, database: str, rows: Rows) -> None:
    """Run again it changes nothing, and afterwards the plain URL will do."""
    runs = [init(server.url(database)) for _ in range(2)]
    await ping(server.url(database))

    assert [(run.returncode, run.stdout) for run in runs] == [(0, f"The store is ready: {server.url(database)}\n")] * 2
    assert rows("select version from sessionguard_schema") == [(1,)]


async def test_many_workers_that_may_make_the_tables_start_at_once(store_url: str, rows: Rows) -> None:
    """One makes them, the others find them."""
    stores = [PostgresStore(store_url) for _ in range(12)]
    reservations = await asyncio.gather(*(store.reserve("key", f"id-{n}", None) for n, store in enumerate(stores)))
    await asyncio.gather(*(store.aclose() for store in stores))

    assert sum(reservation.created for reservation in reservations) == 1
    assert rows("select count(*) from sessionguard_sessions") == [(1,)]


@pytest.mark.parametrize("version", [0, 2])
async def test_tables_of_another_version_are_refused(store_url: str, rows: Rows, version: int) -> None:
    """Neither read nor changed, whether this release may make tables or not."""
    await ping(store_url)
    rows(f"update sessionguard_schema set version = {version}")

    with pytest.raises(ConfigurationError, match=f"of version {version}, .* knows version 1"):
        await ping(store_url)
    assert rows("select version from sessionguard_schema") == [(version,)]


async def test_a_role_needs_four_rights_and_no_more(server: PostgresServer, database: str, rows: Rows) -> None:
    """Without them the message says which; with them everything works."""
    await ping(server.url(database, create_schema="on"))
    rows(f"create role worker_{database} login")
    store = PostgresStore(server.url(database, user=f"worker_{database}"))
    with pytest.raises(ConfigurationError, match="grant select, insert, update and delete on sessionguard_sessions"):
        await store.ping()
    rows(f"grant select, insert, update, delete on sessionguard_sessions to worker_{database}")
    rows(f"grant select on sessionguard_schema to worker_{database}")
    created = (await store.reserve("key", "first", None)).created
    removed = await store.forget("key", "first")
    await store.aclose()

    assert (created, removed) == (True, True)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        (
            "postgresql://sessionguard@127.0.0.1:{port}/nowhere",
            'database "nowhere" does not exist; create the database',
        ),
        ("postgresql://nobody@127.0.0.1:{port}/postgres", "check user, password and pg_hba.conf"),
        ("postgresql://asked_for_a_password:secret@127.0.0.1:{port}/postgres", "check user, password and pg_hba.conf"),
    ],
)
async def test_what_will_not_mend_itself_stops_the_start(server: PostgresServer, url: str, told: str) -> None:
    """With the place, the server's word, and the cure, and without the password."""
    with pytest.raises(ConfigurationError, match=told) as refused:
        await ping(url.format(port=server.port))

    assert "secret" not in str(refused.value)


async def test_a_server_that_does_not_answer_is_unavailable_and_not_a_mistake(unused_tcp_port: int) -> None:
    """It may be on its way; whoever starts before it waits for it."""
    with pytest.raises(StoreUnavailable):
        await ping(f"postgresql://sessionguard@127.0.0.1:{unused_tcp_port}/postgres")


@pytest.fixture
def standby(programs: Path) -> Iterator[PostgresServer]:
    """A server in recovery, with what a primary had in its directory."""
    with running(programs) as primary:
        asyncio.run(ping(primary.url("postgres", create_schema="on")))
        primary.stop()
        standby = PostgresServer(programs, {"hot_standby": "on"})
        try:
            standby.copy_from(primary)
            (standby.data / "standby.signal").touch()
            standby.start()
            yield standby
        finally:
            standby.remove()


@pytest.mark.slow
def test_a_standby_is_refused_until_it_is_promoted(standby: PostgresServer) -> None:
    """What it knows may be of the past; named beside others, another one may be the primary."""
    url = standby.url("postgres")
    several = url.replace(f":{standby.port}", f":{standby.port},127.0.0.1:{standby.port}")
    for refused in (url, f"{url}?target_session_attrs=any", f"{url}?pooler=on"):
        with pytest.raises(ConfigurationError, match="is a standby or read-only; name the primary"):
            asyncio.run(ping(refused))
    with pytest.raises(StoreUnavailable):
        asyncio.run(ping(several))
    standby.query("select pg_promote()")

    asyncio.run(ping(url))


async def test_a_server_that_becomes_a_standby_is_not_believed(
    server: PostgresServer, database: str, rows: Rows
) -> None:
    """A pooler may lead an open connection to another server; the function that tells is played by ours here."""
    await ping(server.url(database, create_schema="on"))
    rows("create table demoted ()")
    rows(
        "create function public.pg_is_in_recovery() returns boolean language sql"
        " as 'select exists (select from public.demoted)'"
    )
    store = PostgresStore(server.url(database, options="-c search_path=public,pg_catalog"))
    await store.reserve("key", "first", None)
    rows("insert into demoted default values")
    with pytest.raises(StoreUnavailable, match="standby"):
        await store.get("key")
    await store.aclose()


async def test_a_database_that_may_not_be_written_is_refused(server: PostgresServer, database: str, rows: Rows) -> None:
    """At the start, not at the first new conversation."""
    await ping(server.url(database, create_schema="on"))
    rows(f"alter database {database} set default_transaction_read_only = on")

    with pytest.raises(ConfigurationError, match="read-only"):
        await ping(server.url(database))


@pytest.mark.slow
def test_a_server_that_can_lose_what_it_acknowledged_is_warned_about(programs: Path, server: PostgresServer) -> None:
    """fsync is the server's, synchronous_commit was chosen in the URL; where both are as they should be, no warning."""
    url = server.url("postgres", create_schema="on")
    with running(programs, {"fsync": "off"}) as careless:
        unsynced = asyncio.run(ping(careless.url("postgres", create_schema="on"))).warnings()

    assert ["fsync=off" in warning for warning in unsynced] == [True]
    assert [
        "synchronous_commit=off" in each for each in asyncio.run(ping(f"{url}&synchronous_commit=off")).warnings()
    ] == [True]
    assert asyncio.run(ping(url)).warnings() == ()


async def test_a_guard_does_not_start_on_a_store_that_cannot_work(server: PostgresServer, database: str) -> None:
    """The server's life fails, and the message holds the cure."""
    sent: list[dict[str, str]] = []

    async def receive() -> dict[str, str]:
        return {"type": "lifespan.startup"}

    async def send(message: dict[str, str]) -> None:
        sent.append(message)

    await SessionGuard(AppProbe(), store=server.url(database))({"type": "lifespan"}, receive, send)

    assert sent[0]["type"] == "lifespan.startup.failed"
    assert "sessionguard store init" in sent[0]["message"]


async def test_tables_that_are_dropped_under_a_guard_are_503_and_never_a_private_id(
    store_url: str, server: PostgresServer, database: str, rows: Rows
) -> None:
    """Made anew by an operator, they are used without a restart."""
    await ping(store_url)
    guard = SessionGuard(AppProbe(), store=server.url(database))
    headers = [(b"x-openclaw-session-key", b"key")]
    statuses = [(await Exchange(guard, headers).run()).status]
    rows("drop table sessionguard_sessions")
    statuses.append((await Exchange(guard, headers).run()).status)
    await PostgresStore(server.url(database)).prepare()
    statuses.append((await Exchange(guard, headers).run()).status)

    assert statuses == [200, 503, 200]
