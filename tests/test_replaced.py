"""A database that is deleted, replaced or closed under a running process forks no reservation."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sessionguard.records import SessionRecord
from sessionguard.stores.disk.store import DiskStore
from sessionguard.stores.embedded.store import EmbeddedStore
from sessionguard.stores.sqlite import SqliteStore

STORES: dict[str, Callable[[Path], EmbeddedStore]] = {"disk": DiskStore, "sqlite": SqliteStore}
FILES = {"disk": "cache.db", "sqlite": "sessions.db"}

STRANGER = """
import asyncio, json, sys
from sessionguard.stores.disk.store import DiskStore
from sessionguard.stores.sqlite import SqliteStore

async def main(kind, directory, *keys):
    store = {"disk": DiskStore, "sqlite": SqliteStore}[kind](directory)
    print(json.dumps([(await store.reserve(key, "stranger", None)).record.session_id for key in keys]))
    await store.aclose()

asyncio.run(main(*sys.argv[1:]))
"""


def delete_directory(directory: Path, name: str) -> None:
    shutil.rmtree(directory)


def delete_files(directory: Path, name: str) -> None:
    for file in directory.glob(f"{name}*"):
        file.unlink()


def restore_by_rename(directory: Path, name: str) -> None:
    """A backup taken earlier is moved over the live files."""
    delete_files(directory, name)
    for file in (directory.parent / "backup").iterdir():
        file.replace(directory / file.name)


def open_and_close(directory: Path, name: str) -> None:
    """Any such pair drops every lock SQLite holds in this process; the next stranger to close deletes the log."""
    os.close(os.open(directory / name, os.O_RDONLY))


async def stranger(kind: str, directory: Path, *keys: str) -> list[str]:
    command = [sys.executable, "-c", STRANGER, kind, str(directory), *keys]
    run = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=True)
    ids: list[str] = json.loads(run.stdout)
    return ids


CASES = [
    ("disk", delete_directory, "us"),
    ("sqlite", delete_directory, "the stranger"),
    ("disk", delete_files, "the stranger"),
    ("sqlite", delete_files, "us"),
    ("disk", restore_by_rename, "us"),
    ("sqlite", restore_by_rename, "the stranger"),
    ("disk", open_and_close, "the stranger"),
    ("sqlite", open_and_close, "us"),
]
"""Every pair of a kind of store, a fault, and the first process to reserve."""


@pytest.mark.parametrize(
    ("kind", "fault", "first"),
    [
        pytest.param(*case, id=f"{case[0]}-{case[1].__name__}-{case[2]}", marks=pytest.mark.slow if slow else ())
        for case in CASES
        for slow in [case[0] == "sqlite"]
    ],
)
async def test_whoever_reserves_first_after_the_fault_is_the_one_for_both(
    tmp_path: Path, kind: str, fault: Callable[[Path, str], None], first: str
) -> None:
    """The open file is compared with the one of that name before anything is acknowledged."""
    directory, name = tmp_path / "sessions", FILES[kind]
    store = STORES[kind](directory)
    await store.reserve("before", "ours", None)
    shutil.copytree(directory, tmp_path / "backup")
    fault(directory, name)
    answers: dict[str, list[str]] = {}
    for who in (first, "the stranger" if first == "us" else "us"):
        if who == "us":
            answers[who] = [(await store.reserve(key, "us", None)).record.session_id for key in ("a", "b")]
        else:
            answers[who] = await stranger(kind, directory, "a", "b")
    again = [(await store.reserve(key, "us-again", None)).record.session_id for key in ("a", "b", "c")]
    last = await stranger(kind, directory, "a", "b", "c")
    await store.aclose()

    assert answers["us"] == answers["the stranger"] == again[:2]
    assert again == last


@pytest.mark.parametrize("kind", STORES)
async def test_what_was_missing_in_one_file_may_be_in_the_next(tmp_path: Path, kind: str) -> None:
    """Its counters may stand where those of the first one stood, when it comes without them."""
    store, missing = await bereft_store(tmp_path, kind)
    adopted = await store.adopt("key", SessionRecord("ours", 1, 1), None)
    await store.aclose()

    assert missing is None
    assert adopted.session_id == "theirs"


@pytest.mark.parametrize("kind", STORES)
async def test_no_row_in_a_file_that_is_gone_is_no_answer(tmp_path: Path, kind: str) -> None:
    """Whoever asks for a row is told what the file says that has the name now."""
    store, missing = await bereft_store(tmp_path, kind)
    found = await store.get("key")
    await store.aclose()

    assert missing is None
    assert found is not None
    assert found.session_id == "theirs"


async def bereft_store(tmp_path: Path, kind: str) -> tuple[EmbeddedStore, SessionRecord | None]:
    """Return a store that has another file under it now than the one it has opened, and what it found in that."""
    directory, name = tmp_path / "sessions", FILES[kind]
    other = STORES[kind](tmp_path / "other")
    await other.reserve("key", "theirs", None)
    await other.aclose()
    store = STORES[kind](directory)
    missing = await store.get("key")
    delete_files(directory, name)
    (tmp_path / "other" / name).replace(directory / name)
    return store, missing


@pytest.mark.parametrize("kind", STORES)
async def test_a_file_that_is_replaced_during_a_transaction_acknowledges_nothing(tmp_path: Path, kind: str) -> None:
    """The comparison after the commit sends the reservation to the file that has the name now."""
    directory, name = tmp_path / "sessions", FILES[kind]
    store = STORES[kind](directory)
    await store.ping()
    database = store._tenancy._threads.running[directory / name]._database
    assert database is not None
    write = type(database).write
    fell = False

    def replaced_under_us(database: object, rows: object) -> None:
        nonlocal fell
        if not fell:
            fell = True
            delete_files(directory, name)
        write(database, rows)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as fault:
        fault.setattr(type(database), "write", replaced_under_us)
        reservation = await store.reserve("key", "ours", None)
    found = await stranger(kind, directory, "key")
    await store.aclose()

    assert reservation.created
    assert found == ["ours"]


@pytest.mark.parametrize("kind", STORES)
async def test_a_read_after_a_replacement_is_of_the_new_file(tmp_path: Path, kind: str) -> None:
    """A conversation that was wiped is not served from a deleted file."""
    directory = tmp_path / "sessions"
    store = STORES[kind](directory)
    await store.reserve("key", "ours", None)
    delete_directory(directory, FILES[kind])

    assert await store.get("key") is None
    await store.aclose()
