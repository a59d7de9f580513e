"""A store that was left hands out nothing more: not from memory, not to another process, not to another release."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from sessionguard import ConfigurationError, SessionGuard, SessionRecord
from sessionguard.errors import StoreRetired
from sessionguard.records import Retirement
from sessionguard.stores.disk.opening import _SCHEMA as DISK_SCHEMA
from sessionguard.stores.disk.store import DiskStore
from sessionguard.stores.embedded import jobs
from sessionguard.stores.embedded.checking import checked_connection
from sessionguard.stores.embedded.store import EmbeddedStore
from sessionguard.stores.embedded.threads import THREADS
from sessionguard.stores.sqlite import SCHEMA as SQLITE_SCHEMA
from sessionguard.stores.sqlite import SqliteStore
from sessionguard.testing import AppProbe, Exchange

STORES: dict[str, Callable[[Path], EmbeddedStore]] = {"disk": DiskStore, "sqlite": SqliteStore}
FILES = {"disk": "cache.db", "sqlite": "sessions.db"}
TABLES = {"disk": "Cache", "sqlite": "Sessions"}
SCHEMAS = {"disk": DISK_SCHEMA, "sqlite": SQLITE_SCHEMA}
KEY = "default//agent:main:retired"
HEADERS = [(b"x-openclaw-session-key", b"retired")]
THERE = "redis://new-host/0"

ANOTHER_PROCESS = """
import asyncio, os, sys
from sessionguard.stores.disk.store import DiskStore
from sessionguard.stores.embedded.memory import CoherentMemory
from sessionguard.stores.sqlite import SqliteStore

async def main(kind, directory, there, code):
    store = {"disk": DiskStore, "sqlite": SqliteStore}[kind](directory)
    exec("async def act():\\n " + code, scope := {**globals(), "store": store, "there": there})
    await scope["act"]()
    await store.aclose()

asyncio.run(main(*sys.argv[1:]))
"""
RETIRE = "await store.retire(there)"
REVIVE = "await store.revive()"
DIE_BEFORE_THE_COMMIT = "mark = CoherentMemory.before_commit\n def die(self, moved): mark(self, moved); os._exit(0)\n "
DIE_BEFORE_THE_COMMIT += f"CoherentMemory.before_commit = die\n {RETIRE}"
DIE_AFTER_THE_COMMIT = f"CoherentMemory.after_commit = lambda self: os._exit(0)\n {RETIRE}"


@pytest.fixture(params=STORES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let other processes start while a store waits for them, however busy the machine is."""
    monkeypatch.setattr(jobs, "JOB_SECONDS", 60.0)


@pytest.fixture
async def store(kind: str, tmp_path: Path) -> AsyncIterator[EmbeddedStore]:
    store = STORES[kind](tmp_path / "sessions")
    yield store
    await store.aclose()


def run_elsewhere(kind: str, store: EmbeddedStore, code: str) -> None:
    """Run `code` in another process that uses the same directory."""
    subprocess.run([sys.executable, "-c", ANOTHER_PROCESS, kind, store.location, THERE, code], check=True)


async def elsewhere(kind: str, store: EmbeddedStore, code: str) -> None:
    await asyncio.to_thread(run_elsewhere, kind, store, code)


def database(kind: str, store: EmbeddedStore) -> contextlib.closing[sqlite3.Connection]:
    """The file as another program opens it."""
    return contextlib.closing(sqlite3.connect(Path(store.location) / FILES[kind], isolation_level=None))


def error_in(exchange: Exchange) -> dict[str, str]:
    body = b"".join(message.get("body", b"") for message in exchange.sent)
    error: dict[str, str] = json.loads(body)["error"]
    return error


async def test_a_process_sees_at_once_that_another_has_retired_its_store(kind: str, store: EmbeddedStore) -> None:
    """What it remembered is worth nothing from that moment on, and the first call tells it why."""
    await store.reserve(KEY, "ours", None)
    await elsewhere(kind, store, RETIRE)
    recalled = store.recall(KEY)
    with pytest.raises(StoreRetired, match=THERE):
        await store.get(KEY)
    with pytest.raises(StoreRetired, match=THERE):
        await store.reserve(f"{KEY}-new", "ours", None)

    assert recalled is None
    assert store.recall(KEY) is None
    assert [key async for key, _ in store.scan()] == [KEY]


async def test_a_process_sees_at_once_that_its_store_serves_again(kind: str, store: EmbeddedStore) -> None:
    """Without a restart."""
    row = (await store.reserve(KEY, "ours", None)).record
    await elsewhere(kind, store, RETIRE)
    with pytest.raises(StoreRetired):
        await store.get(KEY)
    await elsewhere(kind, store, REVIVE)

    assert await store.get(KEY) == row == store.recall(KEY)


@pytest.mark.parametrize(("death", "retired"), [(DIE_BEFORE_THE_COMMIT, False), (DIE_AFTER_THE_COMMIT, True)])
async def test_a_retirement_that_dies_has_happened_or_not(
    kind: str, store: EmbeddedStore, death: str, retired: bool
) -> None:
    """The commit decides; what is remembered is never in the way."""
    row = (await store.reserve(KEY, "ours", None)).record
    await elsewhere(kind, store, death)
    recalled = store.recall(KEY)

    assert recalled is None
    assert await store.retirement() == (Retirement(THERE) if retired else None)
    if retired:
        with pytest.raises(StoreRetired):
            await store.get(KEY)
    else:
        assert await store.get(KEY) == row


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before the row is read", "after the row was read"])
async def test_a_row_that_is_read_while_the_store_is_retired_is_not_remembered(
    kind: str, store: EmbeddedStore, moment: str
) -> None:
    """Whatever comes first, no request after the retirement is answered."""
    await store.reserve(KEY, "ours", None)
    await elsewhere(kind, store, "row = await store.get('" + KEY + "')\n await store.reserve('" + KEY + "', 'b', row)")
    await store.get(KEY + "x")
    opened = THREADS.running[Path(store.location) / FILES[kind]]._database
    read = type(opened).read

    def overtaken(self: object, keys: object) -> object:
        patch.undo()
        if moment == "before the row is read":
            run_elsewhere(kind, store, RETIRE)
            return read(self, keys)  # type: ignore[arg-type]
        rows = read(self, keys)  # type: ignore[arg-type]
        run_elsewhere(kind, store, RETIRE)
        return rows

    with pytest.MonkeyPatch.context() as patch, pytest.raises(StoreRetired):
        patch.setattr(type(opened), "read", overtaken)
        await store.get(KEY)

    assert store.recall(KEY) is None


async def test_a_reservation_that_shares_the_transaction_of_the_retirement_is_part_of_it(store: EmbeddedStore) -> None:
    """Before it in the queue it is kept, behind it it is refused; neither spoils the other."""
    await store.ping()
    before, retired, behind = await asyncio.gather(
        store.reserve(f"{KEY}-before", "id", None),
        store.retire(THERE),
        store.reserve(f"{KEY}-behind", "id", None),
        return_exceptions=True,
    )

    assert not isinstance(before, BaseException)
    assert retired is None
    assert isinstance(behind, StoreRetired)
    assert [key async for key, _ in store.scan()] == [f"{KEY}-before"]
    assert store.recall(f"{KEY}-before") is None


INSERTS = {
    "disk": "INSERT INTO Cache (key, raw, mode, size, value) VALUES ('minted', 1, 1, 0, x'00')",
    "sqlite": "INSERT OR REPLACE INTO Sessions VALUES ('minted', x'00')",
}


@pytest.mark.parametrize("statement", ["insert", "UPDATE {table} SET key = 'other'", "DELETE FROM {table}"])
async def test_a_release_that_does_not_know_the_mark_cannot_write_through_an_open_connection(
    kind: str, store: EmbeddedStore, statement: str
) -> None:
    """SQLite itself refuses."""
    row = (await store.reserve(KEY, "ours", None)).record
    with database(kind, store) as connection:
        connection.execute(f"SELECT * FROM {TABLES[kind]}").fetchall()
        await store.retire(THERE)
        with pytest.raises(sqlite3.IntegrityError, match="these conversations have moved"):
            connection.execute(INSERTS[kind] if statement == "insert" else statement.format(table=TABLES[kind]))

    assert [pair async for pair in store.scan()] == [(KEY, row)]


async def test_a_release_that_does_not_know_the_mark_refuses_to_open(kind: str, store: EmbeddedStore) -> None:
    """It compares the schema with its own, which has no mark."""
    await store.ping()
    await store.retire(THERE)
    await store.aclose()
    path = Path(store.location) / FILES[kind]

    with (
        pytest.raises(ConfigurationError, match="this package did not make"),
        checked_connection(path, SCHEMAS[kind], ()),
    ):
        raise AssertionError("the database was opened")


async def test_a_store_that_was_revived_is_as_if_it_had_never_been_retired(kind: str, store: EmbeddedStore) -> None:
    """To the letter, so that every release opens it."""
    await store.reserve(KEY, "ours", None)
    await store.retire(THERE)
    await store.revive()
    await store.aclose()

    with checked_connection(Path(store.location) / FILES[kind], SCHEMAS[kind], ()) as (_, is_new):
        assert not is_new


@pytest.mark.parametrize(
    "statements",
    [
        ["DELETE FROM Retirement"],
        ["INSERT INTO Retirement VALUES ('a', 0)"],
        ["DROP TRIGGER Retired_update"],
    ],
    ids=["names no place", "names two", "stops no updates"],
)
async def test_a_damaged_mark_is_refused(kind: str, store: EmbeddedStore, statements: list[str]) -> None:
    """It is not for us to guess where the conversations are."""
    await store.ping()
    await store.retire(THERE)
    await store.aclose()
    with database(kind, store) as connection:
        for statement in statements:
            connection.execute(statement)

    with pytest.raises(ConfigurationError, match="did not make"):
        await store.get(KEY)


@pytest.mark.parametrize("verb", ["get", "reserve", "forget"])
async def test_a_trigger_that_is_planted_under_an_open_store_is_refused_before_the_next_statement(
    kind: str, store: EmbeddedStore, verb: str
) -> None:
    """The version of the schema is compared, not only at the opening."""
    await store.reserve(KEY, "ours", None)
    with database(kind, store) as connection:
        connection.execute(f"CREATE TRIGGER planted AFTER INSERT ON {TABLES[kind]} BEGIN SELECT 1; END")
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "get": lambda: store.get(KEY + "x"),
        "reserve": lambda: store.reserve(KEY + "x", "id", None),
        "forget": lambda: store.forget(KEY, "ours"),
    }

    with pytest.raises(ConfigurationError, match="has tables, indexes or triggers this package did not make"):
        await calls[verb]()


@pytest.mark.parametrize("key", [b"retired", b"new"], ids=["established", "new"])
@pytest.mark.parametrize("on_store_error", ["closed", "open"])
async def test_a_guard_on_a_retired_store_answers_503_and_names_the_new_one(
    store: EmbeddedStore, on_store_error: str, key: bytes
) -> None:
    """Even one that would rather fail open: these conversations are known to be elsewhere."""
    probe = AppProbe()
    guard = SessionGuard(probe, store=store, on_store_error=on_store_error)  # type: ignore[arg-type]
    await Exchange(guard, HEADERS).run()
    await store.retire(THERE, finished=True)

    exchange = await Exchange(guard, [(b"x-openclaw-session-key", key)]).run()
    error = error_in(exchange)

    assert (exchange.status, exchange.headers["retry-after"]) == (503, "5")
    assert error["code"] == "session_store_unavailable"
    assert error["message"] == (
        f"The conversations of this server have moved to {THERE}; point SESSIONGUARD_STORE there."
    )
    assert len(probe.scopes) == 1
    with pytest.raises(StoreRetired):
        await guard.reset("retired")


async def test_while_rows_are_on_their_way_nobody_is_told_to_go_there_yet(store: EmbeddedStore) -> None:
    """Who goes too early finds conversations missing."""
    guard = SessionGuard(AppProbe(), store=store)
    await store.ping()
    await store.retire(THERE)
    exchange = await Exchange(guard, HEADERS).run()

    assert error_in(exchange)["message"] == (
        f"The conversations of this server are being moved to {THERE};"
        " when that is done, point SESSIONGUARD_STORE there."
    )


async def test_a_refusal_of_a_retired_store_is_not_tried_again(store: EmbeddedStore) -> None:
    """The client hears of it at once, not when the deadline is over."""
    guard = SessionGuard(AppProbe(), store=store, reserve_timeout=30)
    await store.ping()
    await store.retire(THERE)
    exchange = await asyncio.wait_for(Exchange(guard, HEADERS).run(), 10)

    assert exchange.status == 503


async def test_the_log_says_once_that_the_store_is_retired(
    store: EmbeddedStore, caplog: pytest.LogCaptureFixture
) -> None:
    """However many requests are refused."""
    await store.ping()
    await store.retire(THERE)
    for _ in range(3):
        with pytest.raises(StoreRetired):
            await store.get(KEY)

    assert caplog.text.count(f"is retired, its conversations went to {THERE}") == 1


async def test_adopting_what_stands_already_costs_nobody_his_memory(store: EmbeddedStore) -> None:
    """A copy that is repeated is not felt."""
    row = (await store.reserve(KEY, "ours", None)).record
    await store.adopt(KEY, SessionRecord("ours", 1, row.updated_at), None)

    assert store.recall(KEY) is not None
