"""The table of promises in docs/stores.md is true: every cell is shown by a test, what is lost as much as what holds.

Most are shown where their subject is tested; here is the table of those tests, and what nobody else shows.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import functools
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from live import LiveServer, uvicorn

from sessionguard import ConfigurationError, CorruptRecord, GuardSettings, SessionGuard, SessionRecord, StoreUnavailable
from sessionguard.stores.disk.store import DiskStore
from sessionguard.stores.embedded.store import EmbeddedStore
from sessionguard.stores.memory import MemoryStore
from sessionguard.stores.sqlite import SqliteStore
from sessionguard.testing import AppProbe, Exchange

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "stores.md"
KEY = {"x-openclaw-session-key": "key"}
ROW = "default//agent:main:key"
STORES: dict[str, type[EmbeddedStore]] = {"disk": DiskStore, "sqlite": SqliteStore}
HERE = "test_promises.py::"

PROMISES = {
    "one id per key among": {
        "all processes of one host": [
            "test_disk.py::test_processes_that_race_for_the_same_keys_agree_on_every_id",
            "test_live.py::test_concurrent_requests_to_several_workers_get_one_id",
            HERE + "test_workers_of_a_server_share_an_id_where_the_table_says_so",
        ],
        "the tasks and threads of one process": [
            HERE + "test_threads_of_a_process_share_an_id_in_memory",
            HERE + "test_workers_of_a_server_share_an_id_where_the_table_says_so",
        ],
    },
    "restart, `kill -9`": {
        "holds": [
            "test_live.py::test_a_conversation_survives_a_restart",
            "test_live.py::test_a_killed_server_loses_no_acknowledged_id",
            HERE + "test_an_id_outlives_its_process_unless_it_is_in_memory",
        ],
        "lost": [HERE + "test_an_id_outlives_its_process_unless_it_is_in_memory"],
    },
    "signs of life, `kill -9`": {
        "those of the last `SESSIONGUARD_TOUCH_INTERVAL` can be lost, the id is not": [
            HERE + "test_a_crash_loses_signs_of_life_and_no_id",
            HERE + "test_a_crash_loses_no_sign_of_life_older_than_the_interval",
            "test_touches.py::test_the_alarm_writes_without_being_asked_and_rests_when_there_is_nothing",
        ],
        "lost": [HERE + "test_an_id_outlives_its_process_unless_it_is_in_memory"],
    },
    "power cut": {
        "holds by SQLite's contract, not tried here (`synchronous=normal`: the last writes can be lost)": [
            "test_disk.py::test_writes_survive_a_power_cut_unless_the_url_says_otherwise",
            "test_sqlite.py::test_the_url_says_how_durable_a_write_is",
            HERE + "test_a_write_is_synced_unless_the_url_says_normal",
        ],
        "lost": [HERE + "test_an_id_outlives_its_process_unless_it_is_in_memory"],
    },
    "several hosts": {
        "refused with `SESSIONGUARD_COORDINATION=cluster`": [
            HERE + "test_no_built_in_store_claims_to_reach_several_hosts",
            "test_sqlite.py::test_a_network_file_system_is_refused_unless_the_url_allows_it",
        ],
        "refused likewise": [HERE + "test_no_built_in_store_claims_to_reach_several_hosts"],
    },
    "store locked or failing": {
        "503 for requests with a key that need it; others pass": [
            "test_disk.py::test_a_locked_database_fails_writes_in_time_and_serves_reads_meanwhile",
            "test_disk.py::test_a_failing_database_is_unavailable_and_opened_anew",
            "test_sqlite.py::test_a_locked_database_is_unavailable_in_time",
            "test_guard.py::test_a_store_that_fails_is_503_with_a_key_and_nothing_without_one",
        ],
        "": [],
    },
    "store full": {
        "503 for new conversations; established ones go on": [
            "test_stores.py::test_a_full_store_refuses_new_conversations_and_keeps_the_others",
        ],
        "": [],
    },
    "fork, preload": {
        "holds; a child whose store could not be closed in time answers 503": [
            "test_fork.py::test_parent_child_and_strangers_agree_on_every_id",
            "test_fork.py::test_a_child_whose_store_could_not_be_closed_in_time_fails_closed",
            "test_fork.py::test_a_guard_that_was_used_before_a_fork_serves_on_in_the_child",
        ],
        "each process goes on alone, with a copy of the rows": [HERE + "test_after_a_fork_memory_is_two_stores"],
    },
    "directory deleted, or replaced by a rename, under a running process": {
        "no id is handed out twice; conversations of the old file end, for processes that remember them up to a second"
        " later": [
            "test_replaced.py::test_whoever_reserves_first_after_the_fault_is_the_one_for_both",
            "test_replaced.py::test_a_file_that_is_replaced_during_a_transaction_acknowledges_nothing",
            "test_replaced.py::test_a_read_after_a_replacement_is_of_the_new_file",
            "test_memory.py::test_a_database_that_was_replaced_is_forgotten_though_nobody_asks_it",
        ],
        "": [],
    },
    "file overwritten in place": {
        "unsupported: stop the processes first; pages of garbage are refused, an older copy goes unnoticed": [
            "test_disk.py::test_a_place_that_is_not_ours_is_refused_with_its_cure",
            "test_disk.py::test_a_database_somebody_changed_is_refused_before_it_is_obeyed",
            "test_sqlite.py::test_a_database_somebody_changed_is_refused_before_it_is_used",
            HERE + "test_a_foreign_file_in_place_of_ours_is_refused",
            HERE + "test_a_page_of_garbage_is_never_minted_over",
            HERE + "test_an_older_copy_in_place_of_a_live_file_goes_unnoticed",
        ],
        "": [],
    },
    "eviction": {
        "never; rows go by the `SESSIONGUARD_RETENTION` you set": [
            "test_disk.py::test_nothing_is_evicted_and_no_row_expires",
            "test_stores.py::test_rows_beyond_their_retention_are_removed_and_no_others",
            HERE + "test_no_row_is_too_old_to_be_kept",
        ],
        "likewise": [
            "test_stores.py::test_rows_beyond_their_retention_are_removed_and_no_others",
            HERE + "test_no_row_is_too_old_to_be_kept",
        ],
    },
}
"""Every row of the table, and for each of its cells the tests that show it; an empty cell promises nothing."""


def table() -> dict[str, list[str]]:
    """The cells of the first table, by the row's first cell."""
    lines = PAGE.read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("|---"))
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in _rows_from(lines[start + 1 :])]
    return {first: cells for first, *cells in rows}


def _rows_from(lines: Sequence[str]) -> Iterator[str]:
    for line in lines:
        if not line.startswith("|"):
            return
        yield line


@pytest.mark.once
def test_every_cell_of_the_table_is_registered() -> None:
    """The promises of the page and those shown here are the same words, in the same order."""
    promised, shown = table(), {row: list(cells) for row, cells in PROMISES.items()}

    assert promised == shown, (
        f"{PAGE.name} and PROMISES in this file differ: change the page back, or write a test that shows what the cell"
        " now says and register it in PROMISES under the cell's own words"
    )
    assert list(promised) == list(shown)


@pytest.mark.once
def test_every_promise_names_tests_that_exist() -> None:
    """A test that is renamed or removed takes its promise with it; a cell that says something has at least one."""
    cells = [cell for row in PROMISES.values() for cell in row.items()]
    named = [node for _, nodes in cells for node in nodes]
    missing = [node for node in named if node.partition("::")[2] not in defined_in(node.partition("::")[0])]
    bare = [cell for cell, nodes in cells if cell and not nodes]

    assert (missing, bare) == ([], []), "name the tests that show these promises now"


@functools.cache
def defined_in(file: str) -> set[str]:
    tree = ast.parse((TESTS / file).read_text())
    return {node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}


def serving(kind: str, tmp_path: Path, *options: str, **settings: str) -> contextlib.AbstractContextManager[LiveServer]:
    """The bare application behind the guard, on a store of that kind."""
    url = "memory:" if kind == "memory" else f"{kind}://{tmp_path / 'sessions'}"
    return uvicorn(
        "bare_app:app", tmp_path, *options, app_dir=TESTS / "apps", env={"SESSIONGUARD_STORE": url, **settings}
    )


def ask(server: LiveServer) -> dict[str, Any]:
    """What the application was given for the key, over a connection of its own."""
    body: dict[str, Any] = httpx.post(server.url, headers=KEY, timeout=20).json()
    return body


def stored(kind: str, tmp_path: Path) -> SessionRecord:
    """The row of the key, read as another process would."""

    async def get() -> SessionRecord | None:
        store = STORES[kind](tmp_path / "sessions")
        try:
            return await store.get(ROW)
        finally:
            await store.aclose()

    record = asyncio.run(get())
    assert record is not None
    return record


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "shared"), [("disk", True), ("sqlite", True), ("memory", False)])
def test_workers_of_a_server_share_an_id_where_the_table_says_so(tmp_path: Path, kind: str, shared: bool) -> None:
    """Each worker keeps to one id; in memory to one of its own."""
    ids: dict[int, list[str]] = defaultdict(list)
    with serving(kind, tmp_path, "--workers", "2") as server:
        while len(ids) < 2 or min(map(len, ids.values())) < 2:
            answer = ask(server)
            ids[answer["process"]].append(answer["session_id"])
    first, second = map(set, ids.values())

    assert len(first) == len(second) == 1
    assert (first == second) is shared


def test_threads_of_a_process_share_an_id_in_memory() -> None:
    """Each with an event loop of its own, all at once; one of them is new."""
    probe = AppProbe()
    guard = SessionGuard(probe, store="memory:")
    ready, statuses = threading.Barrier(8), []

    def request() -> None:
        exchange = Exchange(guard, [(b"x-openclaw-session-key", b"key")])
        ready.wait()
        asyncio.run(exchange.run())
        statuses.append(exchange.headers["x-sessionguard-status"])

    threads = [threading.Thread(target=request) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (len(statuses), statuses.count("new")) == (8, 1)
    assert len({scope["session_id"] for scope in probe.scopes}) == 1


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "number", "kept"), [("sqlite", 15, True), ("sqlite", 9, True), ("memory", 15, False)])
def test_an_id_outlives_its_process_unless_it_is_in_memory(tmp_path: Path, kind: str, number: int, kept: bool) -> None:
    """After SIGTERM and after SIGKILL right behind the answer; test_live.py shows it for the disk store."""
    answers = []
    for _ in range(2):
        with serving(kind, tmp_path) as server:
            answers.append(ask(server)["session_id"])
            server.stop(number)

    assert (answers[0] == answers[1]) is kept


@pytest.mark.slow
@pytest.mark.parametrize("kind", STORES)
def test_a_crash_loses_signs_of_life_and_no_id(tmp_path: Path, kind: str) -> None:
    """SIGKILL between noting a touch and writing it leaves the row as it was reserved."""
    with serving(kind, tmp_path) as server:
        given = ask(server)["session_id"]
        reserved = stored(kind, tmp_path)
        ask(server)
        server.stop(9)

    assert stored(kind, tmp_path) == reserved
    assert reserved.session_id == given


@pytest.mark.slow
@pytest.mark.parametrize("kind", STORES)
def test_a_crash_loses_no_sign_of_life_older_than_the_interval(tmp_path: Path, kind: str) -> None:
    """What was noted is written at the next alarm, and then it is safe from SIGKILL."""
    with serving(kind, tmp_path, SESSIONGUARD_TOUCH_INTERVAL="1") as server:
        ask(server)
        reserved = stored(kind, tmp_path)
        ask(server)
        while (written := stored(kind, tmp_path)) == reserved:
            time.sleep(0.05)
        server.stop(9)

    assert stored(kind, tmp_path) == written
    assert written.updated_at > reserved.updated_at


@pytest.mark.parametrize(("option", "level"), [("", 2), ("?synchronous=full", 2), ("?synchronous=normal", 1)])
@pytest.mark.parametrize("kind", STORES)
async def test_a_write_is_synced_unless_the_url_says_normal(tmp_path: Path, kind: str, option: str, level: int) -> None:
    """In WAL mode, SQLite syncs every commit at level 2, and at level 1 only checkpoints: those commits can be lost."""
    store = STORES[kind].from_url(f"{kind}://{tmp_path / 'sessions'}{option}", GuardSettings())

    def pragmas(rows: Any) -> list[object]:
        connection = rows.database._connection
        return [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]

    found = await store._tenancy.submit((), pragmas, writes=False)
    await store.aclose()

    assert found == ["wal", level]


@pytest.mark.parametrize("url", ["disk:", "sqlite:", "memory:"])
def test_no_built_in_store_claims_to_reach_several_hosts(url: str) -> None:
    """A deployment of several hosts that says so does not start."""
    with pytest.raises(ConfigurationError, match="SESSIONGUARD_COORDINATION asks for cluster"):
        SessionGuard(AppProbe(), store=url, coordination="cluster")


FORK = """
import asyncio, os, sys
from sessionguard import SessionGuard
from sessionguard.testing import AppProbe, Exchange

guard = SessionGuard(AppProbe(), store="memory:")

def ask(key):
    asyncio.run(Exchange(guard, [(b"x-openclaw-session-key", key)]).run())
    return guard.scope["session_id"]

ask(b"before")
child = os.fork()
os.write(1, f"{ask(b'before')} {ask(b'after')}\\n".encode())  # One piece, where print may write several.
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_after_a_fork_memory_is_two_stores() -> None:
    """What stood before is in both, what comes afterwards is each one's own."""
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", FORK], capture_output=True, text=True, check=True)
    (before, after), (before_too, after_too) = (line.split() for line in run.stdout.splitlines())

    assert before == before_too
    assert after != after_too


def text(path: Path) -> None:
    path.write_bytes(b"this is not a database, whatever its name says" * 200)


def strangers_database(path: Path) -> None:
    elsewhere = path.parent.parent / "stranger.db"
    with contextlib.closing(sqlite3.connect(elsewhere)) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    path.write_bytes(elsewhere.read_bytes())


@pytest.mark.parametrize("overwrite", [text, strangers_database], ids=lambda overwrite: overwrite.__name__)
@pytest.mark.parametrize("kind", STORES)
async def test_a_foreign_file_in_place_of_ours_is_refused(tmp_path: Path, kind: str, overwrite: Any) -> None:
    """By the next opening, which changes nothing."""
    path = await filled(kind, tmp_path, ["key"])
    overwrite(path)
    foreign = path.read_bytes()
    store = STORES[kind](path.parent)

    with pytest.raises(ConfigurationError, match=r"is not a database|this package did not make"):
        await store.reserve("key", "other", None)
    await store.aclose()

    assert path.read_bytes() == foreign


@pytest.mark.slow
@pytest.mark.parametrize("garbage", [b"\x00", b"\xff"], ids=["zeros", "ones"])
@pytest.mark.parametrize("kind", STORES)
async def test_a_page_of_garbage_is_never_minted_over(tmp_path: Path, kind: str, garbage: bytes) -> None:
    """Whichever page of the file it is: every key has its id, or the store refuses; nobody gets a new one."""
    keys = [f"key-{number:03}-{'x' * 100}" for number in range(100)]
    path = await filled(kind, tmp_path, keys)
    whole, outcomes = path.read_bytes(), set()
    for start in range(0, len(whole), 4096):
        path.write_bytes(whole[:start] + garbage * 4096 + whole[start + 4096 :])
        outcomes |= await outcomes_of(STORES[kind](path.parent), keys[::9])
        for left in path.parent.glob(f"{path.name}-*"):
            left.unlink()

    assert outcomes <= {"id", "StoreUnavailable", "CorruptRecord", "ConfigurationError"}
    assert len(outcomes) > 1


async def filled(kind: str, tmp_path: Path, keys: Sequence[str]) -> Path:
    """The file of a closed store in which every key has the id `id`."""
    store = STORES[kind](tmp_path / "sessions")
    await asyncio.gather(*(store.reserve(key, "id", None) for key in keys))
    await store.aclose()
    return tmp_path / "sessions" / store.file_name


async def outcomes_of(store: EmbeddedStore, keys: Sequence[str]) -> set[str]:
    """The ids that reservations of these keys find, and the names of the refusals they meet."""
    outcomes = {await outcome_of(store, key) for key in keys}
    await store.aclose()
    return outcomes


async def outcome_of(store: EmbeddedStore, key: str) -> str:
    try:
        return (await store.reserve(key, "minted over it", None)).record.session_id
    except (StoreUnavailable, CorruptRecord, ConfigurationError) as error:
        return type(error).__name__


@pytest.mark.slow
@pytest.mark.parametrize("kind", STORES)
def test_an_older_copy_in_place_of_a_live_file_goes_unnoticed(tmp_path: Path, kind: str) -> None:
    """Same file, sound pages: what was reserved since the copy is forgotten, and the next process mints a second id."""
    path, copy = tmp_path / "sessions" / STORES[kind].file_name, tmp_path / "copy"
    with serving(kind, tmp_path) as server:
        httpx.post(server.url, headers={"x-openclaw-session-key": "earlier"}, timeout=20)
        checkpoint(path)
        shutil.copyfile(path, copy)
        acknowledged = ask(server)["session_id"]
        checkpoint(path)
        shutil.copyfile(copy, path)
        with serving(kind, tmp_path) as other:
            minted_again = ask(other)["session_id"]

    assert minted_again != acknowledged


def checkpoint(path: Path) -> None:
    """Move what is in the log into the file."""
    with contextlib.closing(sqlite3.connect(path, timeout=20)) as connection:
        assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0


@pytest.mark.parametrize("kind", [*STORES, "memory"])
async def test_no_row_is_too_old_to_be_kept(tmp_path: Path, kind: str) -> None:
    """Without a retention, nothing is removed in a thousand new rows and a century."""
    now = 0
    store = MemoryStore(clock=lambda: now) if kind == "memory" else STORES[kind](tmp_path / "s", clock=lambda: now)
    await store.reserve("old", "id", None)
    now += 100 * 366 * 86_400_000
    await asyncio.gather(*(store.reserve(f"new-{number}", "id", None) for number in range(1000)))
    kept = [key async for key, _ in store.scan()]
    await store.aclose()

    assert len(kept) == 1001
    assert "old" in kept
