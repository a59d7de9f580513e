"""Leases in Postgres beyond the contract: their table, who is called, and what happens when nobody is heard."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import asyncpg
import pytest
from ears_after_fork import told_by
from postgres_readme import block, shell
from postgres_server import PostgresServer, running
from sessionguard_postgres import PostgresStore, hearing, leases

from sessionguard import ConfigurationError, StoreUnavailable
from sessionguard.ear import Listening
from sessionguard.testing import FaultyWire, WireFault
from sessionguard.testing.queueing import number_of

pytestmark = pytest.mark.server

Rows = Callable[[str], list[tuple[object, ...]]]

NAME, MINUTE = "turn/a", 60_000
OUR_EARS = "select count(*) from pg_stat_activity where datname = $1 and query ilike 'listen%'"

FORK = """
import sys
from sessionguard_postgres import PostgresStore, connector, pool

# Nothing here is about time, and a connection that is late would be replaced.
pool.STATEMENT_SECONDS = pool.JOB_SECONDS = 60.0
connector.SESSION["statement_timeout"] = "60s"
store = PostgresStore(sys.argv[1])
"""


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sessionguard.ear.SHORTEST_PAUSE", 0.02)
    monkeypatch.setattr("sessionguard.ear.LONGEST_PAUSE", 0.05)


@pytest.fixture
async def opened(store: PostgresStore, unhurried: None) -> AsyncIterator[PostgresStore]:
    """The store, closed in the end."""
    await store.ping()
    yield store
    await store.aclose()


async def until(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def coming(listening: Listening | None) -> asyncio.Future[None]:
    """What is called from now on."""
    assert listening is not None
    await until(listening.coming)
    called = listening.coming()
    assert called is not None
    return called


async def test_numbers_grow_although_the_clock_is_set_back(opened: PostgresStore, rows: Rows) -> None:
    """While the row is kept; what the clock says is only the least."""
    first = number_of(await opened.acquire(NAME, "a", MINUTE))
    await opened.release(NAME, "a")
    rows("update sessionguard_leases set fencing_number = fencing_number + 3600000")
    second = number_of(await opened.acquire(NAME, "b", MINUTE))

    assert first + 3_600_001 == second


async def test_what_is_over_takes_no_room(opened: PostgresStore, rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    """A minute later; some of it goes now and then, when somebody is given a lease."""
    monkeypatch.setattr(leases, "MEMORY", 1)
    for number in range(20):
        await opened.acquire(f"{NAME}-{number}", "a", 1)
        await opened.release(f"{NAME}-{number}", "a")
    await opened.acquire("held", "a", MINUTE)
    kept = rows("select count(*) from sessionguard_leases")
    await asyncio.sleep(0.01)
    opened._sweep_at = 0.0
    await opened.acquire("last", "a", MINUTE)
    await until(lambda: rows("select count(*) from sessionguard_leases") == [(2,)])

    assert [(21,)] == kept
    assert [("held",), ("last",)] == rows("select convert_from(name, 'UTF8') from sessionguard_leases order by 1")


async def test_a_turn_is_one_statement_in_and_one_out(server: PostgresServer, database: str) -> None:
    """Counted on the wire, when the connection is open and the statements are prepared."""
    with FaultyWire("127.0.0.1", server.port) as wire:
        store = PostgresStore(server.url(database, create_schema="on", port=wire.port))
        counts = []
        for name in ("warm", NAME, NAME):
            before = wire.count("request")
            await store.acquire(name, "a", MINUTE)
            await store.release(name, "a")
            counts.append(wire.count("request") - before)
        await store.aclose()

    assert [2, 2] == counts[1:]


async def test_only_who_is_next_is_called(opened: PostgresStore, server: PostgresServer, database: str) -> None:
    """The others would ask in vain; and nobody is called where nobody waits."""
    said: list[str] = []
    listener = await asyncpg.connect(server.url(database))
    await listener.add_listener("sessionguard_leases", lambda *message: said.append(str(message[-1])))
    await opened.acquire("lonely", "a", MINUTE)
    await opened.release("lonely", "a")
    await opened.acquire(NAME, "a", MINUTE)
    for waited, owner in enumerate("dcb"):
        await opened.acquire(NAME, owner, MINUTE, waited=100 * waited)
    for owner in "abc":
        await opened.release(NAME, owner)
        await until(lambda owner=owner: len(said) == "abc".index(owner) + 1)
    await listener.close()

    assert ["b", "c", "d"] == said


async def test_those_who_listen_share_a_connection(
    opened: PostgresStore, server: PostgresServer, database: str
) -> None:
    """However many; it is closed with the store."""
    for number in range(50):
        await coming(opened.listen(str(number)))
    listening = server.query(OUR_EARS, database)
    await opened.aclose()

    assert [(1,)] == listening
    await until(lambda: server.query(OUR_EARS, database) == [(0,)])


def test_a_loop_that_ends_closes_its_ear(store: PostgresStore, server: PostgresServer, database: str) -> None:
    """Nobody has to close the store for that."""

    async def listen() -> None:
        await coming(store.listen("a"))

    for _ in range(3):
        asyncio.run(listen())
    asyncio.run(until(lambda: server.query(OUR_EARS, database) == [(0,)]))


def test_an_ear_of_another_loop_is_closed_with_the_store(
    store: PostgresStore, server: PostgresServer, database: str
) -> None:
    """Its loop goes on."""

    async def live() -> None:
        called = await coming(store.listen("a"))
        await asyncio.to_thread(asyncio.run, store.aclose())
        await asyncio.wait_for(called, 10)

    asyncio.run(live())
    asyncio.run(until(lambda: server.query(OUR_EARS, database) == [(0,)]))


async def test_after_a_restart_of_the_server_it_is_heard_again(programs: Path) -> None:
    """Whoever listens is told at once that something was missed, and who has the lease has it still."""
    with running(programs) as server:
        store = PostgresStore(server.url("postgres", create_schema="on"))
        first = await store.acquire(NAME, "a", MINUTE)
        await store.acquire(NAME, "b", MINUTE, waited=0)
        listening = store.listen("b")
        called = await coming(listening)
        server.stop(signal.SIGKILL)
        await asyncio.wait_for(called, 10)
        deaf = listening and listening.coming()
        await asyncio.to_thread(server.start)
        called = await coming(listening)
        held = await store.acquire(NAME, "b", MINUTE, waited=0)
        await store.release(NAME, "a")
        await asyncio.wait_for(called, 10)
        granted = await store.acquire(NAME, "b", MINUTE, waited=0)
        await store.aclose()

    assert deaf is None
    assert (False, first.lease) == (held.granted, held.lease)
    assert number_of(granted) > number_of(first)


async def test_a_server_that_falls_silent_is_not_believed_to_be_heard(
    server: PostgresServer, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while it is asked, and answers, as long as it is there."""
    monkeypatch.setattr(hearing, "QUIET_SECONDS", 0.1)
    with FaultyWire("127.0.0.1", server.port) as wire:
        store = PostgresStore(server.url(database, create_schema="on", port=wire.port))
        listening = store.listen("a")
        called = await coming(listening)
        replies = wire.count("reply")
        await until(lambda: wire.count("reply") > replies + 2)
        quiet = called.done()
        monkeypatch.setattr(hearing, "ANSWER_SECONDS", 0.5)
        wire.fail(WireFault("drop", "reply", at=wire.count("reply") + 1, lasting=True))
        await asyncio.wait_for(called, 10)
        deaf = listening and listening.coming()
        wire.heal()
        await coming(listening)
        await store.aclose()

    assert (False, None) == (quiet, deaf)


async def test_behind_a_pooler_nobody_is_heard(server: PostgresServer, database: str) -> None:
    """It would give our connection to somebody else; leases are asked for again and again."""
    store = PostgresStore(server.url(database, create_schema="on", pooler="on"))
    await store.acquire(NAME, "a", MINUTE)
    await store.acquire(NAME, "b", MINUTE, waited=0)
    heard = store.listen("b")
    await store.release(NAME, "a")
    granted = (await store.acquire(NAME, "b", MINUTE, waited=0)).granted
    await store.aclose()

    assert (None, True) == (heard, granted)


def test_parent_and_child_of_a_fork_have_ears_of_their_own(server: PostgresServer, database: str) -> None:
    """What is called to one is not swallowed by the other."""
    assert {"child waits", "child is called", "parent is called"} == told_by(
        FORK, server.url(database, create_schema="on")
    )


@pytest.fixture
async def earlier(server: PostgresServer, database: str, rows: Rows) -> str:
    """The database of a deployment that was made before there were leases, with a conversation in it."""
    store = PostgresStore(server.url(database, create_schema="on"))
    await store.reserve("key", "first", None)
    await store.aclose()
    rows("drop table sessionguard_leases")
    return database


async def test_a_deployment_without_the_table_goes_on(server: PostgresServer, earlier: str) -> None:
    """Whoever has no turns need not know that there is one; whoever asks for a lease all the same is told."""
    store = PostgresStore(server.url(earlier))
    record = await store.get("key")
    with pytest.raises(ConfigurationError, match="sessionguard store init"):
        await store.acquire(NAME, "a", MINUTE)
    await store.aclose()

    assert record is not None


async def test_turns_do_not_start_without_the_table_until_init_has_made_it(
    server: PostgresServer, earlier: str, rows: Rows
) -> None:
    """As the README says; the conversations stay, and so does their version."""
    store = PostgresStore(server.url(earlier))
    store.expect_leases()
    with pytest.raises(
        ConfigurationError, match=r"no table for leases.* made the others\. Run `sessionguard store init"
    ):
        await store.ping()
    run = await asyncio.to_thread(shell, block("console", "store init"), SESSIONGUARD_STORE=server.url(earlier))
    granted = (await store.acquire(NAME, "a", MINUTE)).granted
    record = await store.get("key")
    await store.aclose()

    assert run.returncode == 0, run.stderr
    assert granted
    assert record is not None
    assert [(1,)] == rows("select version from sessionguard_schema")


async def test_workers_that_may_make_tables_make_this_one_too(server: PostgresServer, earlier: str) -> None:
    """Those that have turns; the others leave everything as it is, since they might not be allowed to."""
    tables = "select count(*) from pg_tables where tablename = 'sessionguard_leases'"
    plain = PostgresStore(server.url(earlier, create_schema="on"))
    await plain.ping()
    before = server.query(tables, database=earlier)
    await plain.aclose()
    store = PostgresStore(server.url(earlier, create_schema="on"))
    store.expect_leases()
    granted = (await store.acquire(NAME, "a", MINUTE)).granted
    await store.aclose()

    assert ([(0,)], True) == (before, granted)


async def test_a_role_needs_the_same_four_rights_on_leases(server: PostgresServer, database: str, rows: Rows) -> None:
    """And no others; listening needs none."""
    prepared = PostgresStore(server.url(database))
    await prepared.prepare()
    role = f"worker_{database}"
    rows(f"create role {role} login")
    rows(f"grant select, insert, update, delete on sessionguard_sessions to {role}")
    rows(f"grant select on sessionguard_schema to {role}")
    store = PostgresStore(server.url(database, user=role))
    with pytest.raises(ConfigurationError, match="for turns, on sessionguard_leases"):
        await store.acquire(NAME, "a", MINUTE)
    rows(f"grant select, insert, update, delete on sessionguard_leases to {role}")
    await store.acquire(NAME, "a", MINUTE)
    await store.acquire(NAME, "b", MINUTE, waited=0)
    called = await coming(store.listen("b"))
    await store.renew(NAME, "a", MINUTE)
    await store.release(NAME, "a")
    await asyncio.wait_for(called, 10)
    store._sweep_at = 0.0
    await store.acquire(NAME, "b", MINUTE)
    await store.aclose()


async def test_a_table_that_is_dropped_under_a_worker_is_a_mistake_that_init_mends(
    opened: PostgresStore, rows: Rows
) -> None:
    """Without a restart."""
    await opened.acquire(NAME, "a", MINUTE)
    rows("drop table sessionguard_leases")
    with pytest.raises((ConfigurationError, StoreUnavailable)):
        await opened.acquire(NAME, "a", MINUTE)
    await opened.prepare()

    assert (await opened.acquire(NAME, "a", MINUTE)).granted
