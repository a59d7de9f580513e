"""The store threads of this process, one per database, shared by all stores that use it, and safe across a fork.

SQLite is not: a connection that any thread of the parent ever opened makes a forked child lose its locks without a
word. So before a fork every thread finishes its job, closes and ends; parent and child start new ones at first need.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import weakref
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TypeVar

from sessionguard.errors import StoreUnavailable
from sessionguard.stores.embedded.database import Database
from sessionguard.stores.embedded.jobs import Call, Job, fail
from sessionguard.stores.embedded.memory import CoherentMemory
from sessionguard.stores.embedded.rows import Rows
from sessionguard.stores.embedded.worker import StoreThread

T = TypeVar("T")


class StoreThreads:
    """Threads by the path of their database. Stores hold tenancies; the last one given up ends the thread."""

    def __init__(self, patience: float = 5.0) -> None:
        self.patience = patience
        self.lock = threading.Lock()
        self.running: dict[Path, StoreThread] = {}
        self.poisoned: set[Path] = set()
        self._tenancies: dict[Path, int] = {}
        self._memories: weakref.WeakValueDictionary[Path, CoherentMemory] = weakref.WeakValueDictionary()
        self._unfinished: set[Path] = set()

    def memory(self, path: Path) -> CoherentMemory:
        """Return the one memory of the database in `path`."""
        with self.lock:
            return self._memories.setdefault(path, CoherentMemory())

    def enter(self, path: Path) -> None:
        """Count a tenancy; the caller holds the lock."""
        self._tenancies[path] = self._tenancies.get(path, 0) + 1

    def leave(self, path: Path) -> StoreThread | None:
        """Discount a tenancy; returns the thread to stop if it was the last. The caller holds the lock."""
        self._tenancies[path] -= 1
        if self._tenancies[path]:
            return None
        del self._tenancies[path]
        return self.running.pop(path, None)

    def stop_all(self) -> set[Path]:
        """End every thread and wait; returns the databases that could not be closed within `patience` seconds."""
        running, self.running = self.running, {}
        for thread in running.values():
            thread.stop()
        return {path for path, thread in running.items() if not thread.join(self.patience)}

    def before_fork(self) -> None:
        self.lock.acquire()
        self._unfinished = self.stop_all()

    def after_fork_in_parent(self) -> None:
        self.lock.release()

    def after_fork_in_child(self) -> None:
        # A connection that could not be closed is in this process now, and its locks are not: fail closed.
        self.poisoned |= self._unfinished
        for path in self._unfinished & set(self._memories):
            # Without it a row would be remembered that nobody here watches, and the lock of a dead parent kept.
            self._memories[path].detach()
        self.lock.release()


class Tenancy:
    """One store's use of the thread of its database; nothing is opened before the first job.

    The jobs of one turn of an event loop are handed over together: the thread wakes once for all of them, and commits
    once for all that write.
    """

    def __init__(self, threads: StoreThreads, path: Path, open_database: Callable[[], Database]) -> None:
        self._threads = threads
        self._path = path
        self._open_database = open_database
        self._entered = False
        self._gathered: dict[asyncio.AbstractEventLoop, list[Job]] = {}
        self.memory = threads.memory(path)

    def submit(
        self, keys: Collection[str], work: Callable[[Rows], T], *, writes: bool, serves: bool = False
    ) -> asyncio.Future[T]:
        """Run `work` on the rows of `keys` in the store thread, in a transaction if it `writes`.

        What `serves` fails with StoreRetired where the database is marked. Raises or fails with StoreUnavailable.
        """
        call = Call(keys, work, writes=writes, serves=serves)
        self.accept(call)
        return call.future

    def accept(self, job: Job) -> None:
        """Let the store thread do this job of the loop that runs; raises or fails with StoreUnavailable."""
        loop = job.loop
        with self._threads.lock:
            if self._path in self._threads.poisoned:
                raise StoreUnavailable("This process was forked while its store was busy; restart it.")
            if not self._entered:
                self._threads.enter(self._path)
                self._entered = True
            if loop in self._gathered:
                self._gathered[loop].append(job)
            else:
                self._gathered[loop] = [job]
                loop.call_soon(self._hand_over, loop)

    async def aclose(self) -> None:
        """Give the thread back; wait for its end if nobody else uses it."""
        with self._threads.lock:
            for loop in [*self._gathered]:
                self._pass_on(loop)
            thread = self._threads.leave(self._path) if self._entered else None
            self._entered = False
        if thread is not None:
            loop = asyncio.get_running_loop()
            stopped = loop.create_future()
            thread.stop(lambda: loop.call_soon_threadsafe(_settle, stopped))
            await stopped

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._threads.lock:
            if loop in self._gathered:
                self._pass_on(loop)

    def _pass_on(self, loop: asyncio.AbstractEventLoop) -> None:
        jobs, running = self._gathered.pop(loop), self._threads.running
        try:
            if self._path not in running:
                running[self._path] = StoreThread(self._path, self._open_database, self.memory)
        except RuntimeError as error:
            # There are no more threads to be had, or, in some Pythons, the interpreter is about to end.
            fail(jobs, StoreUnavailable(f"The session store cannot be opened: {error}"))
            return
        running[self._path].accept(jobs)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


THREADS = StoreThreads()
atexit.register(THREADS.stop_all)
os.register_at_fork(
    before=THREADS.before_fork,
    after_in_parent=THREADS.after_fork_in_parent,
    after_in_child=THREADS.after_fork_in_child,
)
