"""A lease on disk ends with the process that holds it, at once; no other sign of death is believed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sessionguard.stores.disk.store import DiskStore
from sessionguard.stores.embedded import holders
from sessionguard.stores.embedded.holders import Holder
from sessionguard.stores.embedded.store import EmbeddedStore
from sessionguard.stores.sqlite import SqliteStore

MINUTE = 60_000
STORES: dict[str, Callable[[Path], EmbeddedStore]] = {"disk": DiskStore, "sqlite": SqliteStore}

HOLDER = """
import asyncio, os, sys
from sessionguard.stores.disk.store import DiskStore
from sessionguard.stores.sqlite import SqliteStore

async def main(kind, directory):
    store = {"disk": DiskStore, "sqlite": SqliteStore}[kind](directory)
    assert (await store.acquire("name", "first", 60_000)).granted
    if len(sys.argv) > 3 and os.fork() == 0:
        print(os.getpid(), flush=True)
        os.read(0, 1)
        os._exit(0)
    print("granted", flush=True)
    await asyncio.to_thread(sys.stdin.read)

asyncio.run(main(*sys.argv[1:3]))
"""


@pytest.fixture(params=STORES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def hold(kind: str, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a process that is granted the lease `name` for a minute."""
    started: list[subprocess.Popen[str]] = []

    def start(*options: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", HOLDER, kind, str(tmp_path / "store"), *options]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def lines(process: subprocess.Popen[str], count: int = 1) -> list[str]:
    assert process.stdout is not None
    return sorted(process.stdout.readline().strip() for _ in range(count))


async def test_the_lease_of_a_killed_process_is_granted_at_once(
    kind: str, hold: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    """It would have lasted for a minute."""
    process = hold()
    lines(process)
    store = STORES[kind](tmp_path / "store")
    before = await store.acquire("name", "second", MINUTE)
    process.kill()
    process.wait()
    after = await store.acquire("name", "second", MINUTE)
    await store.aclose()

    assert (False, True) == (before.granted, after.granted)
    assert after.lease is not None
    assert before.lease is not None
    assert after.lease.fencing_number > before.lease.fencing_number


async def test_a_restarted_process_does_not_wait_for_the_one_before(
    kind: str, hold: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    """Though it clears the files of dead processes away with its first lease."""
    process = hold()
    lines(process)
    process.kill()
    process.wait()
    store = STORES[kind](tmp_path / "store")
    other = await store.acquire("other", "second", MINUTE)
    answer = await store.acquire("name", "second", MINUTE)
    files = [path.name for path in (tmp_path / "store").glob("lease-holder-*")]
    await store.aclose()

    assert (True, True, 1) == (other.granted, answer.granted, len(files))


async def test_a_forked_child_does_not_keep_the_lease_of_a_killed_parent(
    kind: str, hold: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    """The child has inherited the file and closed it."""
    process = hold("forks")
    lines(process, 2)
    process.kill()
    process.wait()
    store = STORES[kind](tmp_path / "store")
    answer = await store.acquire("name", "second", MINUTE)
    await store.aclose()

    assert answer.granted


async def test_the_end_of_a_forked_child_does_not_end_the_lease_of_its_parent(
    kind: str, hold: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = hold("forks")
    child = int(next(line for line in lines(process, 2) if line.isdigit()))
    os.kill(child, 9)
    store = STORES[kind](tmp_path / "store")
    answer = await store.acquire("name", "second", MINUTE)
    await store.aclose()

    assert not answer.granted


async def test_a_stopped_process_keeps_its_lease(
    kind: str, hold: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    """It is not dead, and may go on with its turn."""
    process = hold()
    lines(process)
    process.send_signal(19)
    store = STORES[kind](tmp_path / "store")
    answer = await store.acquire("name", "second", MINUTE)
    await store.aclose()

    assert not answer.granted


async def test_a_store_whose_leases_were_given_back_leaves_no_file(kind: str, tmp_path: Path) -> None:
    """It is removed when the store is closed."""
    store = STORES[kind](tmp_path / "store")
    await store.acquire("name", "first", MINUTE)
    held = [*(tmp_path / "store").glob("lease-holder-*")]
    await store.release("name", "first")
    await store.aclose()

    assert 1 == len(held)
    assert [] == [*(tmp_path / "store").glob("lease-holder-*")]


async def test_a_lease_that_was_not_given_back_outlives_its_store(kind: str, tmp_path: Path) -> None:
    """The process may still be at work in its turn."""
    one, other = STORES[kind](tmp_path / "store"), STORES[kind](tmp_path / "store")
    await one.acquire("name", "first", MINUTE)
    await one.aclose()
    answer = await other.acquire("name", "second", MINUTE)
    await other.aclose()

    assert not answer.granted


async def test_leases_of_one_process_are_kept_apart(kind: str, tmp_path: Path) -> None:
    """Two stores on one directory are two holders, and neither takes the other for dead."""
    one, other = STORES[kind](tmp_path / "store"), STORES[kind](tmp_path / "store")
    await one.acquire("name", "first", MINUTE)
    answer = await other.acquire("name", "second", MINUTE)
    renewed = await other.renew("name", "first", MINUTE)
    await one.aclose()
    await other.aclose()

    assert not answer.granted
    assert renewed is not None


async def test_a_lease_ends_by_its_time_where_no_file_can_be_made(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease is granted all the same, and its holder is not taken for dead."""

    def full(holder: Holder) -> None:
        raise OSError(28, "No space left on device")

    one, other = STORES[kind](tmp_path / "store"), STORES[kind](tmp_path / "store")
    monkeypatch.setattr(Holder, "_lock", full)
    granted = await one.acquire("name", "first", MINUTE)
    monkeypatch.undo()
    answer = await other.acquire("name", "second", MINUTE)
    await one.aclose()
    await other.aclose()

    assert (True, False) == (granted.granted, answer.granted)


def test_a_file_that_was_taken_for_a_dead_process_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may lock or remove it between its creation and its lock."""
    one, other = Holder(tmp_path), Holder(tmp_path)
    opened, files = os.open, []

    def open_and_meet_another(path: Path, flags: int, mode: int = 0o777) -> int:
        file = opened(path, flags, mode)
        if flags & os.O_CREAT and len(files) < 2:
            files.append(path.name)
            if len(files) == 1:
                monkeypatch.setattr(os, "open", opened)
                other._remove_dead()
                monkeypatch.setattr(os, "open", open_and_meet_another)
            else:
                import fcntl

                held.append(opened(path, os.O_RDWR))
                fcntl.flock(held[0], fcntl.LOCK_EX)
        return file

    held: list[int] = []
    monkeypatch.setattr(os, "open", open_and_meet_another)
    name = one.name()
    monkeypatch.undo()

    assert [f"lease-holder-{name}.lock"] == [path.name for path in tmp_path.iterdir() if path.name not in files]
    assert not other.is_dead(name)
    os.close(held[0])
    one.close()


def test_a_holder_without_its_file_is_dead_and_may_begin_again(tmp_path: Path) -> None:
    """A forked child closes the file of its parent, and gets one of its own at first need."""
    one, other = Holder(tmp_path), Holder(tmp_path)
    name = one.name()
    holders._disown_all()
    is_dead = other.is_dead(name)
    again = one.name()

    assert is_dead
    assert again != name
    one.close()


def test_a_file_that_cannot_be_opened_proves_nothing(tmp_path: Path) -> None:
    """A symbolic link in its place, for example."""
    (tmp_path / "lease-holder-x.lock").symlink_to(tmp_path / "elsewhere")

    assert not Holder(tmp_path).is_dead("x")
