"""The sqlite store where it is its own: the schema, rows that are not ours, options, no diskcache."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from sessionguard import (
    ConfigurationError,
    CorruptRecord,
    GuardSettings,
    SessionGuard,
    SessionRecord,
    StoreUnavailable,
)
from sessionguard.codec import encode
from sessionguard.store import AwaitedOffer
from sessionguard.stores.embedded import place
from sessionguard.stores.embedded.generations import beside
from sessionguard.stores.sqlite import SqliteStore
from sessionguard.testing import AppProbe, Exchange

KEY = "default//agent:main:key"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "sessions"


async def opened(directory: Path) -> None:
    store = SqliteStore(directory)
    await store.reserve(KEY, "first", None)
    await store.aclose()


def tampered(directory: Path, statement: str, *values: object) -> None:
    """Make a store with one row and change its database behind its back."""
    asyncio.run(opened(directory))
    with contextlib.closing(sqlite3.connect(directory / "sessions.db")) as connection, connection:
        connection.execute(statement, values)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER evil AFTER INSERT ON Sessions BEGIN UPDATE Sessions SET row = x'00'; END",
        "CREATE TABLE other (x)",
        "ALTER TABLE Sessions ADD COLUMN extra",
    ],
)
async def test_a_database_somebody_changed_is_refused_before_it_is_used(directory: Path, statement: str) -> None:
    """A planted trigger, table or column stops the store; it never runs."""
    await asyncio.to_thread(tampered, directory, statement)
    store = SqliteStore(directory)

    with pytest.raises(ConfigurationError, match="this package did not make"):
        await store.get(KEY)
    await store.aclose()


async def test_who_waits_for_the_lock_sees_at_once_that_somebody_else_has_won(directory: Path) -> None:
    """A loser of a race needs no lock to be told, however many others queue for it."""
    store = SqliteStore(directory)
    await store.ping()
    theirs = SessionRecord("theirs", 1, 1)
    with beside(directory / "sessions.db").open() as generations:
        fcntl.flock(generations, fcntl.LOCK_EX)
        waiting = asyncio.ensure_future(store.reserve(KEY, "mine", None))
        await store.get("its answer comes after the reservation has met the lock")
        with contextlib.closing(sqlite3.connect(directory / "sessions.db")) as winner, winner:
            winner.execute("INSERT INTO Sessions VALUES (?, ?)", (KEY, encode(theirs)))
        reservation = await waiting
    await store.aclose()

    assert (reservation.record, reservation.created) == (theirs, False)


async def test_what_stands_does_not_wait_for_the_lock_with_what_is_new(directory: Path) -> None:
    """Although both were asked for in the same turn of the loop."""
    store = SqliteStore(directory)
    await store.reserve(KEY, "theirs", None)
    old, new = AwaitedOffer(KEY, "mine", None), AwaitedOffer(KEY + "-new", "mine", None)
    with beside(directory / "sessions.db").open() as generations:
        fcntl.flock(generations, fcntl.LOCK_EX)
        store.begin_reserve([old, new])
        answered = await old.future
        waits = not new.future.done()
    created = (await new.future).created
    await store.aclose()

    assert (answered.created, answered.record.session_id) == (False, "theirs")
    assert (waits, created) == (True, True)


@pytest.mark.parametrize("value", ["text", b"\xc1", 7], ids=["text", "no msgpack", "a number"])
async def test_a_foreign_row_is_reported_and_never_replaced(directory: Path, value: object) -> None:
    """By no verb."""
    await asyncio.to_thread(tampered, directory, "UPDATE Sessions SET row = ?", value)
    store = SqliteStore(directory, retention=0)
    verbs = [
        lambda: store.get(KEY),
        lambda: store.reserve(KEY, "second", None),
        lambda: store.forget(KEY, "first"),
        lambda: anext(store.scan()),
    ]

    for verb in verbs:
        with pytest.raises(CorruptRecord):
            await verb()
    other = await store.reserve(KEY + "-other", "id", None)
    await store.aclose()

    assert other.created


@pytest.mark.slow
async def test_a_locked_database_is_unavailable_in_time(directory: Path) -> None:
    """And works again when the lock is gone."""
    store = SqliteStore(directory)
    await store.ping()
    with contextlib.closing(sqlite3.connect(directory / "sessions.db", isolation_level=None)) as intruder:
        intruder.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable):
            await store.reserve(KEY, "id", None)
    reservation = await store.reserve(KEY, "id", None)
    await store.aclose()

    assert reservation.created


@pytest.mark.parametrize(("option", "level"), [("", 2), ("?synchronous=normal", 1)])
async def test_the_url_says_how_durable_a_write_is(directory: Path, option: str, level: int) -> None:
    """FULL is the default."""
    store = SqliteStore.from_url(f"sqlite://{directory}{option}", GuardSettings())
    found = await store._tenancy.submit(
        (),
        lambda rows: rows.database._connection.execute("PRAGMA synchronous").fetchone()[0],  # type: ignore[attr-defined]
        writes=False,
    )
    await store.aclose()

    assert found == level


async def test_one_word_in_the_url_changes_the_store(directory: Path) -> None:
    """The guard behaves the same."""
    guard = SessionGuard(AppProbe(), store=f"sqlite://{directory}")
    key = (b"x-openclaw-session-key", b"key")
    statuses = [(await Exchange(guard, [key]).run()).headers["x-sessionguard-status"] for _ in range(2)]
    await guard._store.aclose()

    assert statuses == ["new", "existing"]
    assert isinstance(guard._store, SqliteStore)


def test_the_two_embedded_stores_do_not_share_a_default_directory(tmp_path: Path) -> None:
    """Changing one word in the settings begins with an empty store beside the old one."""
    assert SqliteStore.from_url("sqlite:", GuardSettings()).location == str(
        tmp_path / "state" / "sessionguard" / "default.sqlite"
    )


def test_the_store_needs_no_diskcache(directory: Path) -> None:
    """Not even installed: the import is blocked here."""
    script = (
        "import asyncio, sys; sys.modules['diskcache'] = None;"
        "from sessionguard.stores.sqlite import SqliteStore;"
        "print(asyncio.run(SqliteStore(sys.argv[1]).reserve('key', 'id', None)).created)"
    )
    run = subprocess.run([sys.executable, "-c", script, directory], capture_output=True, text=True, check=True)

    assert run.stdout == "True\n"


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "9p", "virtiofs", "fuse.sshfs"])
async def test_a_network_file_system_is_refused_unless_the_url_allows_it(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Its locks do not hold among hosts; the table of mounts is replaced here, nothing else."""
    device = tmp_path.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"21 1 99:99 / /proc rw - proc proc rw\n22 1 {number} / / rw - {kind} server:/ rw\n")
    monkeypatch.setattr(place, "MOUNTS", mounts)
    store = SqliteStore.from_url(f"sqlite://{directory}", GuardSettings())
    with pytest.raises(ConfigurationError, match=f"network file system .{kind}."):
        await store.ping()
    await store.aclose()
    allowed = SqliteStore.from_url(f"sqlite://{directory}?network_filesystem=on", GuardSettings())
    await allowed.ping()
    await allowed.aclose()


def test_a_host_without_a_table_of_mounts_is_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other systems have no /proc; a mount that is not listed is not accused either."""
    monkeypatch.setattr(place, "MOUNTS", tmp_path / "absent")
    assert place.file_system(tmp_path) is None
    (tmp_path / "empty").touch()
    monkeypatch.setattr(place, "MOUNTS", tmp_path / "empty")
    assert place.file_system(tmp_path) is None
