"""Leases where they are the embedded stores' own: processes, forks, files, memory; and the rules of one row."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sessionguard import CorruptRecord, StoreUnavailable
from sessionguard.codec import decode_lease, encode_lease
from sessionguard.ear import Ear, Listening, Tell
from sessionguard.leases import TICKET, Lease, LeaseRow, Ticket
from sessionguard.stores.disk.store import DiskStore
from sessionguard.stores.embedded.rows import Rows
from sessionguard.stores.embedded.store import EmbeddedStore
from sessionguard.stores.memory import MemoryStore
from sessionguard.stores.sqlite import SqliteStore
from sessionguard.testing import LeaseContract

STORES: dict[str, Callable[..., EmbeddedStore]] = {"disk": DiskStore, "sqlite": SqliteStore}
NAME, MINUTE = "turn/a", 60_000

CONTENDER = """
import asyncio, sys
from sessionguard.stores.disk.store import DiskStore
from sessionguard.stores.sqlite import SqliteStore

async def main(kind, directory, owner):
    store = {"disk": DiskStore, "sqlite": SqliteStore}[kind](directory)
    won = 0
    for number in range(50):
        won += (await store.acquire(f"name-{number}", owner, 60_000)).granted
    print(won, flush=True)
    sys.stdin.read()  # The end of a process is the end of its leases.
    await store.aclose()

asyncio.run(main(*sys.argv[1:]))
"""

FAMILY = """
import asyncio, os, sys
from sessionguard.stores.disk.store import DiskStore
from sessionguard.stores.sqlite import SqliteStore

store = {"disk": DiskStore, "sqlite": SqliteStore}[sys.argv[1]](sys.argv[2])
asyncio.run(store.acquire("turn/a", "parent", 60_000))
if not (child := os.fork()):
    answer = asyncio.run(store.acquire("turn/a", "child", 60_000))
    print([answer.granted, answer.lease.owner], end=" ", flush=True)
    os._exit(0)
os.waitpid(child, 0)
print(asyncio.run(store.renew("turn/a", "parent", 60_000)) is not None)
asyncio.run(store.aclose())
"""


@pytest.fixture(params=STORES)
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., EmbeddedStore]:
    """A store of either kind on one directory, as often as it is asked for."""
    return lambda **options: STORES[request.param](tmp_path / "sessions", **options)


@pytest.mark.parametrize("kind", ["disk", pytest.param("sqlite", marks=pytest.mark.slow)])
def test_processes_that_race_for_names_share_them_out(kind: str, tmp_path: Path) -> None:
    """Fifty names, four processes: every name has one owner."""
    command = [sys.executable, "-c", CONTENDER, kind, str(tmp_path / "sessions")]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    racing = [subprocess.Popen([*command, str(number)], **pipes) for number in range(4)]
    won = [int(process.stdout.readline()) for process in racing]
    for process in racing:
        process.communicate(timeout=60)

    assert 50 == sum(won)


async def test_fencing_numbers_grow_while_the_clock_stands_still(make: Callable[..., EmbeddedStore]) -> None:
    """Turns that begin in one millisecond have numbers of their own."""
    store = make(clock=lambda: 1_000_000)
    numbers = []
    for owner in "abc":
        lease = (await store.acquire(NAME, owner, MINUTE)).lease
        assert lease is not None
        numbers.append(lease.fencing_number)
        await store.release(NAME, owner)
    await store.aclose()

    assert sorted({*numbers}) == numbers


class SpeakingStore(MemoryStore):
    """Says at once what it has changed, and can be heard from the second moment on."""

    def __init__(self) -> None:
        super().__init__()
        self._said: asyncio.Queue[str] = asyncio.Queue()
        self._ear = Ear(self._hear)

    def listen(self, owner: str) -> Listening:
        return self._ear.listen(owner)

    async def release(self, name: str, owner: str, *, settled_for: int = 0) -> bool:
        released = await super().release(name, owner, settled_for=settled_for)
        row = self._leases.get(name)
        if row is not None and row.lease is None:
            for each in row.queue if row.settled_until else row.queue[:1]:
                self._said.put_nowait(each.owner)
        return released

    async def aclose(self) -> None:
        await self._ear.aclose()

    async def _hear(self, tell: Tell) -> None:
        await asyncio.sleep(0.005)
        tell(None)
        while True:
            tell(await self._said.get())


class TestLeasesThatAreCalledOut(LeaseContract):
    """The part of the contract that is for stores which say aloud who is next."""

    @pytest.fixture
    def store(self) -> SpeakingStore:
        return SpeakingStore()


async def test_a_lease_is_seen_by_another_store_object(make: Callable[..., EmbeddedStore]) -> None:
    """As by another process; the one thread of a file belongs to all of them."""
    first, second = make(), make()
    await first.acquire(NAME, "a", MINUTE)
    answer = await second.acquire(NAME, "b", MINUTE)
    await first.aclose()
    await second.aclose()

    assert answer.lease is not None
    assert "a" == answer.lease.owner


async def test_a_lease_touches_nothing_of_the_conversations(make: Callable[..., EmbeddedStore]) -> None:
    """What is remembered of conversations stays remembered, and their file stays as it is."""
    store = make()
    await store.reserve("key", "first", None)
    await store.get("key")
    files = {path: path.read_bytes() for path in store._directory.iterdir() if "leases" not in path.name}
    for number in range(20):
        await store.acquire(f"{NAME}-{number}", "a", MINUTE)
        await store.release(f"{NAME}-{number}", "a")
    unchanged = {path: path.read_bytes() for path in files}
    recalled = store.recall("key")
    await store.aclose()

    assert files == unchanged
    assert recalled is not None


@pytest.mark.parametrize("kind", STORES)
def test_a_process_that_was_forked_with_leases_asks_for_its_own(kind: str, tmp_path: Path) -> None:
    """The connection of the parent is closed before the fork, as that of the conversations."""
    command = [sys.executable, "-c", FAMILY, kind, str(tmp_path / "sessions")]

    assert "[False, 'parent'] True\n" == subprocess.check_output(command, text=True, timeout=60)


async def test_what_is_over_takes_no_room(make: Callable[..., EmbeddedStore]) -> None:
    """A few rows that are over go with every one that comes."""
    now = [1_000_000_000_000]
    store = make(clock=lambda: now[0])
    for number in range(100):
        await store.acquire(f"{NAME}-{number}", "a", 50)
        now[0] += 100
    await store.aclose()
    with contextlib.closing(sqlite3.connect(store._directory / "leases.db")) as connection:
        (left,) = connection.execute("SELECT count(*) FROM Leases").fetchone()

    assert left <= 2


async def test_memory_forgets_what_is_over() -> None:
    """The reference store as well."""
    now = [1_000_000_000_000]
    store = MemoryStore(clock=lambda: now[0])
    for number in range(100):
        await store.acquire(f"{NAME}-{number}", "a", 50)
        await store.release(f"{NAME}-{number}", "a", settled_for=10)
        now[0] += 100

    assert len(store._leases) <= 2


async def test_numbers_grow_although_the_file_was_deleted(make: Callable[..., EmbeddedStore]) -> None:
    """The clock sees to it."""
    store = make()
    first = await store.acquire(NAME, "a", MINUTE)
    await store.aclose()
    for path in store._directory.glob("leases.db*"):
        path.unlink()
    await asyncio.sleep(0.005)
    second = await store.acquire(NAME, "b", MINUTE)
    await store.aclose()

    assert first.lease is not None
    assert second.lease is not None
    assert second.lease.fencing_number > first.lease.fencing_number


async def test_there_are_no_conversations_among_the_leases(make: Callable[..., EmbeddedStore]) -> None:
    """The thread that serves them would read and remember some, were there any."""
    store = make()
    await store.acquire(NAME, "a", MINUTE)

    def look(rows: Rows) -> list[object]:
        return [rows.database.page("", "", 10), rows.database.keys("", 10), rows.get(NAME)]

    found = await store._leases._tenancy.submit((NAME,), look, writes=False)
    await store.aclose()

    assert [(), (), None] == found


@pytest.mark.slow
async def test_a_locked_file_of_leases_is_unavailable_in_time(make: Callable[..., EmbeddedStore]) -> None:
    """And conversations go on meanwhile."""
    store = make()
    await store.acquire(NAME, "a", MINUTE)
    with contextlib.closing(sqlite3.connect(store._directory / "leases.db", isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable):
            await store.acquire(NAME, "b", MINUTE)
        created = (await store.reserve("key", "first", None)).created
    await store.aclose()

    assert created


async def test_a_row_of_leases_that_is_not_ours_is_reported(make: Callable[..., EmbeddedStore]) -> None:
    """Nothing is guessed about who has the name."""
    store = make()
    await store.acquire(NAME, "a", MINUTE)
    await store.aclose()
    for value in (b"\x00", "text"):
        with contextlib.closing(sqlite3.connect(store._directory / "leases.db")) as connection, connection:
            connection.execute("UPDATE Leases SET row = ?", (value,))
        with pytest.raises(CorruptRecord):
            await store.acquire(NAME, "b", MINUTE)
    await store.aclose()


ROWS = [
    LeaseRow(),
    LeaseRow(Lease("a", 7, 900, 1000)),
    LeaseRow(None, 5, (Ticket("b", 1, 2), Ticket("c", 3, 4))),
]


@pytest.mark.parametrize("row", ROWS)
def test_a_row_survives_its_bytes(row: LeaseRow) -> None:
    """There and back."""
    assert row == decode_lease(encode_lease(row))


@pytest.mark.parametrize(
    "data",
    [b"", b"\xc1", b"\x90", b"\x94\x02\xc0\x00\x90", b"\x94\x01\x91\xa1a\x00\x90", b"\x94\x01\xc0\x00\x91\x01"],
)
def test_bytes_that_are_no_row_are_corrupt(data: bytes) -> None:
    """Not msgpack, another version, or fields that are not ours."""
    with pytest.raises(CorruptRecord):
        decode_lease(data)


@pytest.mark.parametrize(
    ("row", "ends_at"),
    [
        (LeaseRow(), 0),
        (LeaseRow(Lease("a", 1, 0, 50)), 50),
        (LeaseRow(Lease("a", 1, 0, 50), 60), 60),
        (LeaseRow(Lease("a", 1, 0, 50), 60, (Ticket("b", 1, 70), Ticket("c", 1, 65))), 70),
    ],
)
def test_a_row_ends_when_the_last_of_it_ends(row: LeaseRow, ends_at: int) -> None:
    """Lease, settlement and tickets."""
    assert ends_at == row.ends_at
    assert LeaseRow(settled_until=row.settled_until) == row.at(ends_at)


def test_a_ticket_lapses_unless_it_is_asked_for_again() -> None:
    """And keeps its first time, however long its owner claims to have waited later."""
    row, _ = LeaseRow(Lease("a", 1, 0, 10**6)).acquire("b", 10, 100, 1000, int)
    row, _ = row.acquire("b", 10, 5, 2000, int)

    assert (Ticket("b", 900, 2000 + TICKET),) == row.queue
    assert () == row.at(2000 + TICKET).queue


def test_a_lease_that_has_run_out_is_given_to_who_waits() -> None:
    """At the moment it runs out, although the row is kept for the queue."""
    row = LeaseRow(Lease("dead", 1, 0, 50), queue=(Ticket("b", 10, 10 + TICKET),))
    row, answer = row.acquire("b", 10, 40, 50, lambda: 2)

    assert answer.granted
    assert LeaseRow(Lease("b", 2, 50, 60)) == row


def test_who_waited_and_asks_twice_has_the_lease_already() -> None:
    """An answer that was lost on its way costs nobody the lease, and the queue is as it was."""
    row, first = LeaseRow().acquire("a", 10, 100, 1000, lambda: 7)
    row, other = row.acquire("b", 10, 50, 1001, lambda: 8)
    row, again = row.acquire("a", 10, 101, 1001, lambda: 9)

    assert (True, False, True) == (first.granted, other.granted, again.granted)
    assert Lease("a", 7, 1000, 1011) == row.lease
    assert ["b"] == [each.owner for each in row.queue]
