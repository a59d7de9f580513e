"""A fork splits no conversation: whatever the store was doing, whoever lives on, whichever store the child uses."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from errand import Errands

from sessionguard import StoreUnavailable, singleflight, touches
from sessionguard.stores.embedded.threads import StoreThreads, Tenancy
from sessionguard.stores.sqlite import open_database

COMMON = """
import asyncio, json, os, subprocess, sys, threading, time
from pathlib import Path
from sessionguard.stores.disk.store import DiskStore
from sessionguard.stores.embedded.threads import THREADS
from sessionguard.stores.sqlite import SqliteStore

STORES = {"disk": DiskStore, "sqlite": SqliteStore}

def reserve(store, name, keys):
    async def reserve_all():
        return [(await store.reserve(key, name, None)).record.session_id for key in keys]
    return asyncio.run(reserve_all())
"""

STRANGER = (
    COMMON
    + """
kind, directory, name, *keys = sys.argv[1:]
print(json.dumps(reserve(STORES[kind](directory), name, keys)))
"""
)

FAMILY = (
    COMMON
    + """
kind, directory, state, parent, which, report, stranger = sys.argv[1:]
store = STORES[kind](directory)

def run(job):
    return asyncio.run(job)

def busy(writes):
    begun = threading.Event()
    def work(rows):
        begun.set()
        time.sleep(0.3)
    async def submit():
        await store._tenancy.submit((), work, writes=writes)
    threading.Thread(target=run, args=(submit(),)).start()
    begun.wait()

if state == "idle":
    reserve(store, "warm", ["warm"])
elif state == "closed":
    reserve(store, "warm", ["warm"])
    run(store.aclose())
elif state == "used by a thread that has ended":
    thread = threading.Thread(target=reserve, args=(store, "warm", ["warm"]))
    thread.start()
    thread.join()
elif state == "reading":
    busy(writes=False)
elif state == "writing":
    busy(writes=True)

def ask(name, keys):
    command = [sys.executable, "-c", stranger, kind, directory, name, *keys]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

child = os.fork()
if child:
    if parent == "exits":
        os._exit(0)
    os.waitpid(child, 0)
    Path(report + ".parent").write_text(json.dumps(reserve(store, "parent", ["a", "b", "c", "d"])))
else:
    while parent == "exits" and os.getppid() == int(os.environ["FAMILY"]):
        time.sleep(0.01)
    mine = store if which == "same" else STORES[kind](directory)
    first = reserve(mine, "child", ["a"])
    passing = ask("passing", ["b"])
    second = reserve(mine, "child", ["b", "c"])
    last = ask("last", ["a", "b", "c", "d"])
    third = reserve(mine, "child", ["d"])
    Path(report).write_text(json.dumps({"child": first + second + third, "passing": passing, "last": last}))
    os._exit(0)
"""
)

CASES = {
    ("unused", "lives", "same", "disk"),
    ("unused", "exits", "new", "sqlite"),
    ("idle", "exits", "same", "disk"),
    ("idle", "lives", "new", "sqlite"),
    ("closed", "lives", "same", "sqlite"),
    ("closed", "exits", "new", "disk"),
    ("used by a thread that has ended", "exits", "same", "sqlite"),
    ("used by a thread that has ended", "lives", "new", "disk"),
    ("reading", "lives", "same", "disk"),
    ("reading", "exits", "new", "sqlite"),
    ("writing", "exits", "same", "sqlite"),
    ("writing", "lives", "new", "disk"),
}
"""Every pair of the state of the store, the fate of the parent, the store of the child, and the kind."""
FIRST_CASES = {("idle", "exits", "same", "disk"), ("writing", "exits", "same", "sqlite")}


@pytest.mark.parametrize(
    ("state", "parent", "which", "kind"),
    [pytest.param(*case, marks=() if case in FIRST_CASES else pytest.mark.slow) for case in sorted(CASES)],
)
def test_parent_child_and_strangers_agree_on_every_id(
    tmp_path: Path, kind: str, which: str, parent: str, state: str
) -> None:
    """One id per key, in the child, in the parent, and in processes that come by."""
    report = tmp_path / "report"
    script = f"import os; os.environ['FAMILY'] = str(os.getpid())\n{FAMILY}"
    arguments = [kind, str(tmp_path / "sessions"), state, parent, which, str(report), STRANGER]
    # The child holds the pipe of the output, so this waits for the child, although the parent may have ended before.
    subprocess.run([sys.executable, "-c", script, *arguments], check=True, capture_output=True, text=True, timeout=60)

    assert json.loads(report.read_text()) == {
        "child": ["child", "passing", "child", "last"],
        "passing": ["passing"],
        "last": [
            "child",
            "passing",
            "child",
            "last",
        ],
    }
    if parent == "lives":
        assert json.loads((tmp_path / "report.parent").read_text()) == ["child", "passing", "child", "last"]


POISONED = (
    COMMON
    + """
from sessionguard import StoreUnavailable
store = DiskStore(sys.argv[1])
begun, go = threading.Event(), threading.Event()

def stuck(rows):
    begun.set()
    go.wait()

async def submit():
    await store._tenancy.submit((), stuck, writes=False)

threading.Thread(target=asyncio.run, args=(submit(),)).start()
begun.wait()
THREADS.patience = 0.1
child = os.fork()
if child:
    _, status = os.waitpid(child, 0)
    go.set()
    print(os.waitstatus_to_exitcode(status), reserve(store, "parent", ["key"]))
else:
    try:
        reserve(store, "child", ["key"])
    except StoreUnavailable as error:
        os._exit(42 if "restart" in str(error) else 1)
    os._exit(0)
"""
)


def test_a_child_whose_store_could_not_be_closed_in_time_fails_closed(tmp_path: Path) -> None:
    """503 in the child, never a second id; the parent goes on."""
    command = [sys.executable, "-c", POISONED, str(tmp_path / "sessions")]
    run = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)

    assert run.stdout == "42 ['parent']\n"


GUARD = """
import asyncio, os, sys
from sessionguard import SessionGuard
from sessionguard.testing import AppProbe, Exchange

guard = SessionGuard(AppProbe(), store=f"disk://{sys.argv[1]}")

async def serve():
    for _ in range(2):
        await Exchange(guard, [(b"x-openclaw-session-key", b"key")]).run()
    return guard.scope["session_id"]

before = asyncio.run(serve())
assert len(guard._resolver._touches) == 1
child = os.fork()
if child == 0:
    assert len(guard._resolver._touches) == 0
    assert len(guard._resolver._reservations) == 0
    os._exit(0 if asyncio.run(serve()) == before else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.slow
def test_a_guard_that_was_used_before_a_fork_serves_on_in_the_child(tmp_path: Path) -> None:
    """What was pending stays with the parent; the conversation is the same."""
    command = [sys.executable, "-W", "ignore", "-c", GUARD, str(tmp_path / "sessions")]
    run = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)

    assert run.returncode == 0, run.stderr


# The same steps without a fork, one by one, where coverage and a debugger can see them.


async def test_before_a_fork_the_database_is_closed_and_afterwards_opened_again(tmp_path: Path) -> None:
    """Nobody can begin a job while the process is being copied."""
    threads, path = StoreThreads(), tmp_path / "sessions" / "sessions.db"
    tenancy = Tenancy(threads, path, lambda: open_database(path, "full"))
    await tenancy.submit(("key",), lambda rows: rows.get("key"), writes=False)
    threads.before_fork()
    left = sorted(file.name for file in path.parent.iterdir())
    locked = threads.lock.locked()
    threads.after_fork_in_parent()
    await tenancy.submit(("key",), lambda rows: rows.get("key"), writes=False)
    await tenancy.aclose()

    assert left == ["sessions.db", "sessions.db-generations"]
    assert locked
    assert not threads.lock.locked()


async def test_a_database_that_stays_open_over_a_fork_is_never_used_in_the_child(tmp_path: Path) -> None:
    """Its locks are the parent's."""
    threads, path = StoreThreads(patience=0.05), tmp_path / "sessions" / "sessions.db"
    tenancy = Tenancy(threads, path, lambda: open_database(path, "full"))
    begun, go = threading.Event(), threading.Event()

    def stuck(rows: object) -> None:
        begun.set()
        go.wait()

    job = tenancy.submit((), stuck, writes=False)
    await asyncio.to_thread(begun.wait)
    threads.before_fork()
    threads.after_fork_in_child()
    with pytest.raises(StoreUnavailable, match="restart"):
        tenancy.submit((), lambda rows: None, writes=False)
    go.set()
    await job


async def test_a_child_forgets_what_its_parent_was_doing() -> None:
    """Touches are the parent's to write, and its flights never land in the child."""

    async def ignore(updates: object) -> None:
        """Nothing to write to."""

    pending = touches.PendingTouches(ignore, 60_000)
    pending.note("key", "id", 0)
    flights = Errands()
    flights.run("key", lambda: asyncio.sleep(0))
    touches._forget_all()
    singleflight._forget_all()

    assert (len(pending), len(flights)) == (0, 0)


async def test_closing_a_store_may_be_cancelled(tmp_path: Path) -> None:
    """The thread ends all the same, and has nobody to tell."""
    threads, path = StoreThreads(), tmp_path / "sessions" / "sessions.db"
    tenancy = Tenancy(threads, path, lambda: open_database(path, "full"))
    go = threading.Event()
    job = tenancy.submit((), lambda rows: go.wait(), writes=False)
    closing = asyncio.ensure_future(tenancy.aclose())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.gather(closing, return_exceptions=True)
    go.set()
    await job
    for thread in threading.enumerate():
        if thread.name == "sessionguard-store":
            await asyncio.to_thread(thread.join, 10)
    await asyncio.sleep(0)

    assert threads.running == {}
