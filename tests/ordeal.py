"""What conversations go through while the place their store lives in is at fault: `ordeal.py KIND FAULT STATE PLACE`.

A process of its own, because descriptors are counted per process and mounts are private to one. It prints what it saw.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from sessionguard import SessionGuard
from sessionguard.store import wall_clock
from sessionguard.stores.disk.store import DiskStore
from sessionguard.stores.embedded.store import EmbeddedStore
from sessionguard.stores.sqlite import SqliteStore
from sessionguard.testing import AppProbe, Exchange

STORES: dict[str, type[EmbeddedStore]] = {"disk": DiskStore, "sqlite": SqliteStore}
KEYS = ("new", "stale", "established")
ROW = "default//agent:main:"
CLIENTS = 3
APART = 0.1
IDLE = "idle=2m"
CLOCKS = {"stale": lambda: wall_clock() - 600_000, "established": wall_clock}

INTRUDER = """
import sqlite3, sys
path, *statements = sys.argv[1:]
connection = sqlite3.connect(path, isolation_level=None)
for statement in statements:
    connection.execute(statement)
print("held", flush=True)
sys.stdin.read()
connection.close()
"""

Report = dict[str, Any]
Fault = Callable[[Path], AbstractContextManager[None]]


def held(*statements: str) -> Fault:
    """Another process has the database in its hand."""

    @contextlib.contextmanager
    def fault(database: Path) -> Iterator[None]:
        command = [sys.executable, "-c", INTRUDER, str(database), *statements]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as intruder:
            assert intruder.stdout is not None
            assert intruder.stdout.readline() == "held\n"
            yield
            intruder.communicate()

    return fault


@contextlib.contextmanager
def full(database: Path) -> Iterator[None]:
    filler = database.parent.with_name("filler")
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    yield
    filler.unlink()


@contextlib.contextmanager
def read_only(database: Path) -> Iterator[None]:
    place = str(database.parent.parent)
    subprocess.run(["mount", "-o", "remount,bind,ro", place], check=True)
    yield
    subprocess.run(["mount", "-o", "remount,bind,rw", place], check=True)


@contextlib.contextmanager
def out_of_descriptors(database: Path) -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, limits[1]))
    taken: list[int] = []
    try:
        while True:
            taken.append(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        assert error.errno == errno.EMFILE
    yield
    for descriptor in taken:
        os.close(descriptor)
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@contextlib.contextmanager
def files_deleted(database: Path) -> Iterator[None]:
    for file in database.parent.glob(f"{database.name}*"):
        file.unlink()
    yield


@contextlib.contextmanager
def directory_deleted(database: Path) -> Iterator[None]:
    shutil.rmtree(database.parent)
    yield


@contextlib.contextmanager
def directory_is_a_file(database: Path) -> Iterator[None]:
    shutil.rmtree(database.parent)
    database.parent.touch()
    yield
    database.parent.unlink()


FAULTS: dict[str, Fault] = {
    "locked": held("BEGIN IMMEDIATE"),
    "locked exclusively": held("BEGIN EXCLUSIVE"),
    "kept by one process": held("PRAGMA locking_mode = EXCLUSIVE", "BEGIN IMMEDIATE"),
    "full": full,
    "read-only": read_only,
    "out of descriptors": out_of_descriptors,
    "files deleted": files_deleted,
    "directory deleted": directory_deleted,
    "directory is a file": directory_is_a_file,
}
MOUNTED = ("full", "read-only")
GONE = ("files deleted", "directory deleted", "directory is a file")


def guarded(store: EmbeddedStore) -> SessionGuard:
    return SessionGuard(AppProbe(), store=store, reset=IDLE, expose_session_id=True)


async def ask(guard: SessionGuard, key: str) -> Report:
    """One request of a client: the status, the id or the code of the refusal, and the seconds it took."""
    started = time.monotonic()
    exchange = await Exchange(guard, [(b"x-openclaw-session-key", key.encode())]).run()
    seconds = time.monotonic() - started
    refused = exchange.status != 200
    code = json.loads(exchange.sent[1]["body"])["error"]["code"] if refused else None
    session_id = exchange.headers.get("x-openclaw-session-id")
    return {"key": key, "status": exchange.status, "code": code, "id": session_id, "seconds": seconds}


async def ask_all(guard: SessionGuard) -> list[Report]:
    """Several clients want each of the conversations, the first ones together, the others when those have failed."""

    async def client(key: str, number: int) -> Report:
        await asyncio.sleep(number * APART)
        return await ask(guard, key)

    return await asyncio.gather(*(client(key, number) for key in KEYS for number in range(CLIENTS)))


async def seed(kind: str, directory: Path) -> dict[str, str]:
    """Write a conversation that was last used long ago and one of now; returns their ids."""
    ids = {}
    for key, clock in CLOCKS.items():
        store = STORES[kind](directory, clock=clock)
        ids[key] = (await store.reserve(f"{ROW}{key}", f"seeded-{key}", None)).record.session_id
        await store.aclose()
    return ids


async def watched(work: Coroutine[Any, Any, list[Report]]) -> tuple[list[Report], float]:
    """Return what `work` comes to, and the most seconds an unrelated call in the default executor took meanwhile."""
    asking = asyncio.ensure_future(work)
    longest = 0.0
    while not asking.done():
        started = time.monotonic()
        await asyncio.to_thread(int)
        longest = max(longest, time.monotonic() - started)
        await asyncio.wait({asking}, timeout=0.003)
    return await asking, longest


async def endure(kind: str, fault: str, state: str, place: Path) -> Report:
    """Ask for every conversation while the fault lasts and when it has ended, and list the rows there are then."""
    store = STORES[kind](place / "sessions")
    guard = guarded(store)
    seeded = await seed(kind, place / "sessions")
    if state == "open":
        await ask(guard, "established")
    await asyncio.to_thread(int)
    with FAULTS[fault](place / "sessions" / store.file_name):
        while fault in GONE and store.recall(f"{ROW}established") is not None:
            await asyncio.sleep(0.01)  # A process may remember for a second what is gone, and says so in its promises.
        during, delay = await watched(ask_all(guard))
    after = await ask_all(guard)
    await guard._resolver._touches.flush()
    await store.aclose()
    rows = [(key, row.session_id) async for key, row in store.scan()]
    await store.aclose()
    return {"seeded": seeded, "during": during, "delay": delay, "after": after, "rows": rows}


def main(kind: str, fault: str, state: str, place: str) -> None:
    if fault in MOUNTED:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], check=True)
    print(json.dumps(asyncio.run(endure(kind, fault, state, Path(place)))))


if __name__ == "__main__":
    main(*sys.argv[1:])
