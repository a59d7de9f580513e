"""The built-in stores keep the contract that everybody's stores keep."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from sessionguard import ConfigurationError, GuardSettings, SessionRecord, SessionStore, StoreUnavailable
from sessionguard.stores.disk.store import DiskStore
from sessionguard.stores.embedded.store import EmbeddedStore
from sessionguard.stores.memory import MemoryStore
from sessionguard.stores.sqlite import SqliteStore
from sessionguard.testing import AdoptionContract, LeaseContract, RetirementContract, SessionStoreContract


class TestMemoryStore(SessionStoreContract, AdoptionContract, LeaseContract):
    @pytest.fixture
    def store(self) -> SessionStore:
        return MemoryStore()


class TestDiskStore(SessionStoreContract, AdoptionContract, RetirementContract, LeaseContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> SessionStore:
        return DiskStore(tmp_path / "sessions")


class TestSqliteStore(SessionStoreContract, AdoptionContract, RetirementContract, LeaseContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> SessionStore:
        return SqliteStore(tmp_path / "sessions")


STORES = {
    "memory": lambda path, **options: MemoryStore(**options),
    "disk": DiskStore,
    "sqlite": SqliteStore,
}


@pytest.mark.parametrize("kind", STORES)
async def test_rows_beyond_their_retention_are_removed_and_no_others(kind: str, tmp_path: Path) -> None:
    """The sweep looks at a few rows with every new one and forgets only what has been idle too long."""
    now = 1_000_000_000_000
    options: dict[str, Any] = {"retention": 7_200_000, "clock": lambda: now}
    store = STORES[kind](tmp_path / "sessions", **options)
    for number in range(60):
        await store.reserve(f"old-{number:03}", "id", None)
    now += 7_200_000
    await store.reserve("young", "id", None)
    now += 1
    for number in range(5):
        await store.reserve(f"new-{number}", "id", None)
    left = [key async for key, _ in store.scan()]
    await store.aclose()

    assert left == ["new-0", "new-1", "new-2", "new-3", "new-4", "young"]


@pytest.mark.parametrize("kind", STORES)
async def test_whoever_takes_over_a_row_beyond_its_retention_keeps_it(kind: str, tmp_path: Path) -> None:
    """The sweep that comes with a new row sees the row as it is by now."""
    now = 1_000_000_000_000
    options: dict[str, Any] = {"retention": 7_200_000, "clock": lambda: now}
    store = STORES[kind](tmp_path / "sessions", **options)
    stale = (await store.reserve("key", "old", None)).record
    now += 7_200_001
    taken = [(await store.reserve("key", "new", stale)).record, await store.get("key"), store.recall("key")]
    await store.aclose()

    assert [row and row.session_id for row in taken] == ["new", "new", "new"]


async def test_without_a_retention_nothing_is_ever_removed(tmp_path: Path) -> None:
    """However long nobody has used it."""
    now = 0
    store = DiskStore(tmp_path / "sessions", clock=lambda: now)
    await store.reserve("old", "id", None)
    now += 10 * 366 * 86_400_000
    await store.reserve("new", "id", None)
    left = [key async for key, _ in store.scan()]
    await store.aclose()

    assert left == ["new", "old"]


@pytest.mark.parametrize("url", ["memory:x", "memory:?a=b", "memory://host"])
def test_a_memory_store_has_no_place_and_no_options(url: str) -> None:
    """A typing error in a URL is not a different store."""
    with pytest.raises(ConfigurationError, match="write memory:"):
        MemoryStore.from_url(url, GuardSettings())


@pytest.mark.parametrize("url", ["memory:", "memory://"])
async def test_a_memory_store_takes_its_retention_from_the_settings(url: str) -> None:
    """In seconds there, in milliseconds here."""
    store = MemoryStore.from_url(url, GuardSettings(retention=7200))

    assert store._retention == 7_200_000
    assert SessionStore.warnings(store) == ()


@pytest.mark.parametrize("kind", [DiskStore, SqliteStore])
async def test_a_full_store_refuses_new_conversations_and_keeps_the_others(
    kind: type[EmbeddedStore], tmp_path: Path
) -> None:
    """SQLite's own error, made with its limit of pages; when there is room again everything works."""
    store = kind(tmp_path / "sessions")
    record = (await store.reserve("established", "id", None)).record

    def fill(rows: Any) -> None:
        connection = rows.database._connection
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")

    await store._tenancy.submit((), fill, writes=False)
    established = await store.get("established")
    with pytest.raises(StoreUnavailable):
        await asyncio.gather(*(store.reserve("k" * 200 + str(number), "id", None) for number in range(200)))
    again = await store.reserve("k" * 200 + "0", "id", None)
    still = await store.get("established")
    await store.aclose()

    assert established == still == record
    assert again.created


@pytest.mark.parametrize("kind", [DiskStore, SqliteStore])
async def test_a_store_that_keeps_failing_says_so_once(
    kind: type[EmbeddedStore], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """And again when it has worked in between."""
    store = kind(tmp_path / "sessions")

    def fail(rows: Any) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    for _ in range(2):
        for _ in range(3):
            with pytest.raises(StoreUnavailable):
                await store._tenancy.submit((), fail, writes=True)
        await store.reserve("key", "id", None)
    await store.aclose()

    assert caplog.text.count("failed and is opened anew") == 2


@pytest.mark.parametrize(("kind", "table"), [(DiskStore, "Cache"), (SqliteStore, "Sessions")])
async def test_a_commit_that_fails_acknowledges_nothing(kind: type[EmbeddedStore], table: str, tmp_path: Path) -> None:
    """SQLite's own error: with every row comes one that breaks a constraint, and only the commit finds out."""
    store = kind(tmp_path / "sessions")
    loop, heard = asyncio.get_running_loop(), threading.Event()

    def wait_for_the_loop(statement: str) -> None:
        if statement == "COMMIT":  # Whoever was answered too early has his answer before this goes on.
            loop.call_soon_threadsafe(heard.set)
            heard.wait(10)

    def doom(rows: Any) -> None:
        connection = rows.database._connection
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("CREATE TEMP TABLE parent (id PRIMARY KEY)")
        connection.execute("CREATE TEMP TABLE child (id REFERENCES parent DEFERRABLE INITIALLY DEFERRED)")
        connection.execute(
            f"CREATE TEMP TRIGGER doom AFTER INSERT ON main.{table} BEGIN INSERT INTO child VALUES (1); END"
        )
        connection.set_trace_callback(wait_for_the_loop)

    await store._tenancy.submit((), doom, writes=False)
    with pytest.raises(StoreUnavailable):
        await store.reserve("key", "lost", None)
    row = await store.get("key")
    again = await store.reserve("key", "kept", None)
    await store.aclose()

    assert heard.is_set()
    assert row is None
    assert again.created


@pytest.mark.parametrize("kind", [DiskStore, SqliteStore])
async def test_more_is_written_and_read_at_once_than_one_statement_takes(
    kind: type[EmbeddedStore], tmp_path: Path
) -> None:
    """What waits together travels together, in as many statements as it needs."""
    store = kind(tmp_path / "sessions")
    keys = [f"key-{number:04}" for number in range(1000)]
    reservations = await asyncio.gather(*(store.reserve(key, f"id-{key}", None) for key in keys))
    read = await asyncio.gather(*(store.get(key) for key in keys))
    found = [pair async for pair in store.scan()]
    await store.aclose()

    assert all(each.created for each in reservations)
    assert [row.session_id for row in read if row] == [f"id-{key}" for key in keys]
    assert found == list(zip(keys, read, strict=True))


@pytest.mark.parametrize("kind", [DiskStore, SqliteStore])
async def test_a_write_that_fails_halfway_leaves_nothing_behind(kind: type[EmbeddedStore], tmp_path: Path) -> None:
    """All that one transaction has written goes with it."""
    store = kind(tmp_path / "sessions")

    await store.ping()
    database = type(store._tenancy._threads.running[Path(store.location) / store.file_name]._database)
    write = database.write  # type: ignore[union-attr]

    def write_and_fail(self: Any, rows: Any) -> None:
        write(self, rows)
        raise sqlite3.OperationalError("disk I/O error")

    with pytest.MonkeyPatch.context() as fault:
        fault.setattr(database, "write", write_and_fail)
        with pytest.raises(StoreUnavailable):
            await store.reserve("key", "half", None)
    row = await store.get("key")
    await store.aclose()

    assert row is None


@pytest.mark.parametrize("store_class", [DiskStore, SqliteStore])
def test_a_late_page_costs_no_more_than_an_early_one(tmp_path: Path, store_class: type[EmbeddedStore]) -> None:
    """Else a walk over a million rows would step over most of them again and again. Counted, not timed."""
    database = store_class.open_database(tmp_path / "sessions" / store_class.file_name, "full", False)
    names = [f"key-{number:05}" for number in range(5000)]
    with database.transaction():
        database.write({name: SessionRecord(name, 1, 1) for name in names})
    steps: Counter[str] = Counter()

    def page(name: str, after: str) -> list[str]:
        database._connection.set_progress_handler(lambda: steps.update([name]), 10)
        return [key for key, _ in database.page("key-", after, 10)]

    early, late = page("early", ""), page("late", names[-20])
    database.close()

    assert (early, late) == (names[:10], names[-19:-9])
    assert steps["late"] <= 2 * steps["early"]
