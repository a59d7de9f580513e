"""What a process remembers of the disk: free of charge, and never a moment longer than it is true."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from sessionguard import ConfigurationError, CorruptRecord, SessionGuard, StoreUnavailable
from sessionguard.asgi import Receive, Scope, Send
from sessionguard.bounded import BoundedMap
from sessionguard.records import SessionRecord, Touch
from sessionguard.store import wall_clock
from sessionguard.stores.disk.store import DiskStore
from sessionguard.stores.embedded import jobs, memory, worker
from sessionguard.stores.embedded.generations import HEADER, SIZE, Generations, slot_of
from sessionguard.stores.embedded.store import EmbeddedStore
from sessionguard.stores.embedded.threads import THREADS
from sessionguard.stores.sqlite import SqliteStore

STORES: dict[str, Callable[[Path], EmbeddedStore]] = {"disk": DiskStore, "sqlite": SqliteStore}
FILES = {"disk": "cache.db", "sqlite": "sessions.db"}
KEY = "default//agent:main:remembered"

ANOTHER_PROCESS = """
import asyncio, os, sys
from sessionguard.records import SessionRecord, Touch
from sessionguard.store import wall_clock
from sessionguard.stores.disk.store import DiskStore
from sessionguard.stores.embedded.memory import CoherentMemory
from sessionguard.stores.sqlite import SqliteStore

async def main(kind, directory, key, code):
    store = {"disk": DiskStore, "sqlite": SqliteStore}[kind](directory)
    row = await store.get(key)
    exec("async def act():\\n " + code, scope := {**globals(), "store": store, "key": key, "row": row})
    await scope["act"]()
    await store.aclose()

asyncio.run(main(*sys.argv[1:]))
"""
RESET = "await store.reserve(key, 'theirs', row)"
FORGET = "await store.forget(key, row.session_id)"
TOUCH = "await store.touch([Touch(key, row.session_id, 0)])"
DIE_BEFORE_THE_COMMIT = "mark = CoherentMemory.before_commit\n def die(self, moved): mark(self, moved); os._exit(0)\n "
DIE_BEFORE_THE_COMMIT += f"CoherentMemory.before_commit = die\n {RESET}"
DIE_AFTER_THE_COMMIT = f"CoherentMemory.after_commit = lambda self: os._exit(0)\n {RESET}"


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


async def elsewhere(kind: str, store: EmbeddedStore, code: str, key: str = KEY) -> None:
    """Run `code` in another process that uses the same directory."""
    command = [sys.executable, "-c", ANOTHER_PROCESS, kind, store.location, key, code]
    await asyncio.to_thread(subprocess.run, command, check=True)


def recalled(store: EmbeddedStore, key: str = KEY) -> str | None:
    row = store.recall(key)
    return None if row is None else row.session_id


def neighbours() -> tuple[str, str]:
    """Return two keys that share a slot."""
    seen: dict[int, str] = {}
    for number in itertools.count():
        key = f"default//agent:main:{number}"
        if (other := seen.setdefault(slot_of(key), key)) != key:
            return other, key
    raise AssertionError


def generations(kind: str, store: EmbeddedStore) -> Path:
    return Path(store.location) / f"{FILES[kind]}-generations"


async def test_what_was_written_is_remembered(store: EmbeddedStore) -> None:
    """The next request for a new conversation needs no store."""
    assert recalled(store) is None
    await store.reserve(KEY, "id", None)

    assert recalled(store) == "id"


async def test_what_was_read_is_remembered(kind: str, store: EmbeddedStore) -> None:
    """A process that has just started asks once."""
    await store.reserve(KEY, "id", None)
    await store.aclose()
    forgotten = recalled(store)
    await store.get(KEY)

    assert forgotten is None
    assert recalled(store) == "id"


@pytest.mark.parametrize(("change", "stands"), [(RESET, "theirs"), (FORGET, None)], ids=["reset", "forget"])
async def test_what_another_process_changed_is_forgotten_at_once(
    kind: str, store: EmbeddedStore, change: str, stands: str | None
) -> None:
    """The very next request sees it."""
    await store.reserve(KEY, "ours", None)
    await elsewhere(kind, store, change)
    forgotten = recalled(store)
    row = await store.get(KEY)

    assert forgotten is None
    assert (None if row is None else row.session_id) == recalled(store) == stands


async def test_what_another_store_of_this_process_changed_is_forgotten_at_once(kind: str, store: EmbeddedStore) -> None:
    """Two guards on one directory have one memory."""
    await store.reserve(KEY, "first", None)
    other = STORES[kind](Path(store.location))
    await other.reserve(KEY, "second", await other.get(KEY))
    await other.aclose()

    assert recalled(store) == "second"


async def test_a_touch_by_another_process_costs_nobody_his_memory(kind: str, store: EmbeddedStore) -> None:
    """Signs of life do not say who one is."""
    await store.reserve(KEY, "ours", None)
    await elsewhere(kind, store, TOUCH)

    assert recalled(store) == "ours"


async def test_a_new_conversation_costs_no_other_its_memory(kind: str, store: EmbeddedStore) -> None:
    """Each key has a slot of its own, nearly always."""
    await store.reserve(KEY, "ours", None)
    await elsewhere(kind, store, "await store.reserve(key, 'theirs', None)", key=f"{KEY}-2")

    assert recalled(store) == "ours"


async def test_keys_that_share_a_slot_cost_each_other_a_read_and_no_more(kind: str, store: EmbeddedStore) -> None:
    """A collision is slow, not wrong."""
    key, neighbour = neighbours()
    await store.reserve(key, "ours", None)
    await elsewhere(kind, store, "await store.reserve(key, 'theirs', None)", key=neighbour)
    forgotten = recalled(store, key)
    row = await store.get(key)

    assert forgotten is None
    assert row is not None
    assert (row.session_id, recalled(store, key), recalled(store, neighbour)) == ("ours", "ours", None)


@pytest.mark.parametrize(
    ("death", "stands"), [(DIE_BEFORE_THE_COMMIT, "ours"), (DIE_AFTER_THE_COMMIT, "theirs")], ids=["before", "after"]
)
async def test_a_writer_that_dies_costs_a_read_and_no_more(
    kind: str, store: EmbeddedStore, death: str, stands: str
) -> None:
    """Whether its commit went through or not; the first read that finds nobody writing heals what it left."""
    await store.reserve(KEY, "ours", None)
    await elsewhere(kind, store, death)
    seen = [recalled(store)]
    for _ in range(2):
        row = await store.get(KEY)
        seen += [row.session_id if row else None, recalled(store)]

    assert seen == [None, stands, None, stands, stands]


async def test_whoever_writes_after_a_writer_that_died_marks_its_rows_all_the_same(
    kind: str, store: EmbeddedStore
) -> None:
    """An odd slot that is found stays odd until the commit, and is even and higher afterwards."""
    await store.reserve(KEY, "ours", None)
    counters = Generations(generations(kind, store))
    before = counters.slots[slot_of(KEY)]
    await elsewhere(kind, store, DIE_BEFORE_THE_COMMIT)
    marks = [counters.slots[slot_of(KEY)]]
    with counters.locked():
        counters.begin([slot_of(KEY)])
        marks.append(counters.slots[slot_of(KEY)])
        counters.end([slot_of(KEY)])
        marks.append(counters.slots[slot_of(KEY)])
    counters.close()

    assert marks == [before + 1, before + 1, before + 2]


async def test_while_a_row_is_being_changed_nobody_trusts_what_he_remembers(kind: str, store: EmbeddedStore) -> None:
    """From before the commit on, until it is over."""
    await store.reserve(KEY, "ours", None)
    at_the_commit, go = threading.Event(), threading.Event()
    before_commit = memory.CoherentMemory.before_commit

    def wait(self: memory.CoherentMemory, moved: Any) -> None:
        before_commit(self, moved)
        at_the_commit.set()
        go.wait()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory.CoherentMemory, "before_commit", wait)
        row = await store.get(KEY)
        writing = asyncio.ensure_future(store.reserve(KEY, "second", row))
        await asyncio.to_thread(at_the_commit.wait)
        seen = recalled(store)
        go.set()
        await writing

    assert seen is None
    assert recalled(store) == "second"


@pytest.mark.slow
async def test_what_changed_while_it_was_read_is_not_remembered(kind: str, store: EmbeddedStore) -> None:
    """The slot is compared on both sides of the read."""
    await store.reserve(KEY, "ours", None)
    await elsewhere(kind, store, FORGET)
    await store.reserve(KEY, "ours", None)
    database = THREADS.running[Path(store.location) / FILES[kind]]._database
    read = type(database).read

    def overtaken(self: object, keys: object) -> object:
        rows = read(self, keys)  # type: ignore[arg-type]
        command = [sys.executable, "-c", ANOTHER_PROCESS, kind, store.location, KEY, RESET]
        subprocess.run(command, check=True)
        return rows

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(database), "read", overtaken)
        row = await store.get(KEY)

    assert row is not None
    assert row.session_id == "ours"
    assert recalled(store) is None


async def overtaken_reservation(kind: str, store: EmbeddedStore, act: Callable[[], object]) -> str:
    """Return the session that stands when somebody acts after the store has looked and before it writes."""
    await store.ping()
    database = THREADS.running[Path(store.location) / FILES[kind]]._database
    read = type(database).read

    def overtaken(self: object, keys: object) -> object:
        rows = read(self, keys)  # type: ignore[arg-type]
        patch.undo()
        act()
        return rows

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(database), "read", overtaken)
        reservation = await store.reserve(KEY, "ours", None)
    return reservation.record.session_id


async def test_a_row_that_another_process_wrote_after_the_look_stands(kind: str, store: EmbeddedStore) -> None:
    """What was missing is looked for again inside the transaction, unless its slot says that nobody has written."""
    command = [sys.executable, "-c", ANOTHER_PROCESS, kind, store.location, KEY, RESET]

    assert await overtaken_reservation(kind, store, lambda: subprocess.run(command, check=True)) == "theirs"


async def test_an_odd_slot_does_not_say_that_nobody_has_written(
    kind: str, store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer that died left it so, and one that dies behind its commit leaves it as it was."""
    await store.ping()
    monkeypatch.setattr(Generations, "heal", lambda self, slot: None)
    with contextlib.closing(Generations(generations(kind, store))) as counters:
        counters.begin([slot_of(KEY)])

    def commit_and_die() -> None:
        path = Path(store.location) / FILES[kind]
        with contextlib.closing(store.open_database(path, "full", False)) as database, database.transaction():
            database.write({KEY: SessionRecord("theirs", 1, 1)})

    assert await overtaken_reservation(kind, store, commit_and_die) == "theirs"


async def test_a_write_that_is_rolled_back_is_not_remembered(kind: str, store: EmbeddedStore) -> None:
    """What stood before still stands, and is remembered again after a read."""
    await store.reserve(KEY, "ours", None)
    row = await store.get(KEY)

    def fail(self: memory.CoherentMemory, moved: Any) -> None:
        raise OSError("pulled the plug")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory.CoherentMemory, "before_commit", fail)
        with pytest.raises(StoreUnavailable):
            await store.reserve(KEY, "second", row)
    stands = await store.get(KEY)

    assert stands is not None
    assert stands.session_id == recalled(store) == "ours"


async def test_a_database_that_was_replaced_is_forgotten_though_nobody_asks_it(
    kind: str, store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread looks once in a while, because whoever remembers does not."""
    monkeypatch.setattr(worker, "CHECK_SECONDS", 0.01)
    await store.reserve(KEY, "ours", None)
    for file in Path(store.location).glob("*.db*"):
        file.unlink()
    for _ in range(10_000):
        if recalled(store) is None:
            break
        await asyncio.sleep(0.001)

    assert recalled(store) is None
    assert await store.get(KEY) is None


@pytest.mark.parametrize(
    "content", [b"another" + bytes(SIZE - 7), HEADER + b"short"], ids=["another header", "another size"]
)
async def test_a_file_of_that_name_that_is_not_ours_is_refused(kind: str, store: EmbeddedStore, content: bytes) -> None:
    """Counters that other versions wrote mean something else."""
    await store.ping()
    await store.aclose()
    generations(kind, store).write_bytes(content)

    with pytest.raises(ConfigurationError, match="stop every process that uses the store, remove it"):
        await store.ping()


async def test_counters_that_were_never_finished_are_begun_anew(kind: str, store: EmbeddedStore) -> None:
    """The header is written last."""
    await store.ping()
    await store.aclose()
    os.truncate(generations(kind, store), 0)
    await store.reserve(KEY, "ours", None)

    assert recalled(store) == "ours"
    assert generations(kind, store).stat().st_size == SIZE


async def test_readers_do_not_wait_for_writers(kind: str, store: EmbeddedStore) -> None:
    """A slot that is odd while somebody writes is left alone."""
    await store.reserve(KEY, "ours", None)
    counters = Generations(generations(kind, store))
    with counters.locked():
        counters.begin([slot_of(KEY)])
        row = await store.get(KEY)
        seen = recalled(store)
    counters.close()

    assert row is not None
    assert (row.session_id, seen) == ("ours", None)


async def test_a_touch_is_not_a_change(store: EmbeddedStore) -> None:
    """The row is remembered as it was read; how old it looks is not for the memory to say."""
    await store.reserve(KEY, "ours", None)
    row = store.recall(KEY)
    await store.touch([Touch(KEY, "ours", 0)])

    assert row is not None
    assert store.recall(KEY) is row


async def test_a_row_that_was_removed_by_hand_is_forgotten_when_it_is_looked_for(
    kind: str, store: EmbeddedStore
) -> None:
    """Nobody has moved its counter, so it is recalled until then, and not a moment longer."""
    await store.reserve(KEY, "ours", None)
    path = Path(store.location) / FILES[kind]
    with contextlib.closing(store.open_database(path, "full", False)) as database, database.transaction():
        database.delete([KEY])

    assert await store.get(KEY) is None
    assert recalled(store) is None


async def test_new_conversations_drive_out_none_that_goes_on(
    store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many begin: what nobody has asked for again is kept apart, and itself not without limit."""
    monkeypatch.setattr(memory, "MOST_ROWS", 4)
    monkeypatch.setattr(memory, "MOST_UNASKED", 4)
    await store.reserve(KEY, "ours", None)
    went_on = recalled(store)
    keys = [f"{KEY}-{number}" for number in range(20)]
    for key in keys:
        await store.reserve(key, "ours", None)

    assert went_on == recalled(store) == "ours"
    assert 4 <= sum(recalled(store, key) == "ours" for key in reversed(keys)) <= 8


async def test_a_conversation_that_has_only_begun_is_no_work_for_the_garbage_collector(store: EmbeddedStore) -> None:
    """What it walks through again and again would grow with every new conversation."""
    gc.collect()
    gc.freeze()  # What was there before is not looked at.
    try:
        for number in range(50):
            await store.reserve(f"{KEY}-{number}", "ours", None)
        gc.collect()
        tracked = sum(isinstance(each, SessionRecord) for each in gc.get_objects())
    finally:
        gc.unfreeze()

    assert tracked <= 1  # The store thread may still have the last one in its hands.
    assert recalled(store, f"{KEY}-7") == "ours"


def test_a_bounded_map_keeps_what_is_used_and_forgets_the_rest() -> None:
    """At least as many as its size, at most twice as many."""
    kept: BoundedMap[int, str] = BoundedMap(10)
    kept.put(-1, "used")
    for number in range(1000):
        kept.put(number, "new")
        assert kept.get(-1) or kept.find(-1)

    alive = [number for number in range(-1, 1000) if kept.get(number) or kept.find(number)]
    assert alive[0] == -1
    assert alive[-9:] == list(range(991, 1000))
    assert len(alive) <= 20


async def test_an_old_conversation_is_an_existing_one_also_to_a_process_that_has_just_started(
    kind: str, store: EmbeddedStore
) -> None:
    """Though it asks for a reservation at once, and learns from the answer that there was nothing to reserve."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["session_id"].encode()})

    began = wall_clock() - 60_000
    old = STORES[kind](Path(store.location), clock=lambda: began)
    await old.reserve("default//agent:main:old", "id", None)
    await old.aclose()
    guard = SessionGuard(app, store=store)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(guard), base_url="http://guard") as client:
        answers = [await client.get("/", headers={"x-openclaw-session-key": key}) for key in ("old", "fresh")]

    assert [answer.headers["x-sessionguard-status"] for answer in answers] == ["existing", "new"]


async def test_a_row_that_is_found_broken_is_not_remembered_as_it_was(kind: str, store: EmbeddedStore) -> None:
    """Whoever sees the damage tells everybody in this process."""
    await store.reserve(KEY, "ours", None)
    table, column = {"disk": ("Cache", "value"), "sqlite": ("Sessions", "row")}[kind]
    with contextlib.closing(sqlite3.connect(Path(store.location) / FILES[kind], isolation_level=None)) as intruder:
        intruder.execute(f"UPDATE {table} SET {column} = x'00'")
    with pytest.raises(CorruptRecord):
        await store.get(KEY)

    assert recalled(store) is None
