"""The one thread of a process that touches a directory's database.

Jobs wait in a queue; the thread takes all that have gathered, commits their writes in one transaction, serves their
reads, and hands the answers back to the event loops they came from. A job never waits longer than its deadline.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import dataclasses
import logging
import queue
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import diskcache

from sessionguard.errors import ConfigurationError, SessionGuardError, StoreUnavailable

JOB_SECONDS = 2.0
STOP_SECONDS = 2.0
FIRST_PAUSE, LONGEST_PAUSE = 0.0002, 0.005

log = logging.getLogger("sessionguard")

T = TypeVar("T")


@dataclasses.dataclass(slots=True)
class Job:
    """One function to run against the database, and where its answer goes."""

    work: Callable[[Any], Any]
    writes: bool
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    deadline: float
    answer: Any = None
    error: Exception | None = None

    def run(self, cache: Any) -> None:
        self.error = None
        try:
            self.answer = self.work(cache)
        except SessionGuardError as error:
            self.error = error

    def deliver(self) -> None:
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.answer)


class StoreThread:
    """A daemon thread with this process's only connection to one database, opened by `open_cache` when needed."""

    def __init__(self, open_cache: Callable[[], Any]) -> None:
        self._open_cache = open_cache
        self._cache: Any = None
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._stopping = False
        self._when_stopped: Callable[[], object] = lambda: None
        self._thread = threading.Thread(target=self._run, name="sessionguard-store", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[Any], T], *, writes: bool) -> asyncio.Future[T]:
        """Run `work(cache)` on the thread, in a transaction if it `writes`; fails with StoreUnavailable when late."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._queue.put(Job(work, writes, loop, future, time.monotonic() + JOB_SECONDS))
        return future

    def stop(self, when_stopped: Callable[[], object] = lambda: None) -> None:
        """Let the thread finish what is queued, close the database, call `when_stopped` and end."""
        self._when_stopped = when_stopped
        self._queue.put(None)

    def join(self) -> None:
        self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        waiting: list[Job] = []
        pause = FIRST_PAUSE
        while waiting or not self._stopping:
            if waiting:
                time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                pause = FIRST_PAUSE
            waiting = self._attempt([*waiting, *self._arrived(block=not waiting)])
        self._close()
        with contextlib.suppress(RuntimeError):
            self._when_stopped()

    def _arrived(self, block: bool) -> Iterator[Job]:
        """Yield what has gathered in the queue, waiting for the first job if `block`."""
        try:
            while True:
                job = self._queue.get(block)
                block = False
                if job is None:
                    self._stopping = True
                else:
                    yield job
        except queue.Empty:
            return

    def _attempt(self, jobs: Sequence[Job]) -> list[Job]:
        """Answer the jobs, first all writes in one transaction, then the reads; return those a busy database delays."""
        now = time.monotonic()
        wanted = [job for job in jobs if not job.future.cancelled()]
        _fail([job for job in wanted if job.deadline <= now], StoreUnavailable("The session store is busy; try again."))
        due = [job for job in wanted if job.deadline > now]
        return [
            *self._attempt_together([job for job in due if job.writes], writes=True),
            *self._attempt_together([job for job in due if not job.writes], writes=False),
        ]

    def _attempt_together(self, jobs: Sequence[Job], writes: bool) -> Sequence[Job]:
        if not jobs:
            return ()
        try:
            if self._cache is None:
                self._cache = self._open_cache()
            with self._cache.transact() if writes else contextlib.nullcontext():
                for job in jobs:
                    job.run(self._cache)
        except ConfigurationError as error:
            _fail(jobs, error)
        except Exception as error:
            if _is_busy(error):
                return jobs
            log.warning("the session store failed and is opened anew: %r", error)
            self._close()
            _fail(jobs, StoreUnavailable("The session store failed; try again."))
        else:
            _deliver(jobs)
        return ()

    def _close(self) -> None:
        cache, self._cache = self._cache, None
        if cache is not None:
            with contextlib.suppress(sqlite3.Error):
                cache.close()


class StoreThreads:
    """The store threads of this process, one per directory, shared by all stores that use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads: dict[Path, tuple[StoreThread, int]] = {}

    def acquire(self, directory: Path, open_cache: Callable[[], Any]) -> StoreThread:
        with self._lock:
            thread, users = self._threads.get(directory) or (StoreThread(open_cache), 0)
            self._threads[directory] = thread, users + 1
            return thread

    def release(self, directory: Path) -> StoreThread | None:
        """Give a thread back; its last user gets it, to stop it."""
        with self._lock:
            thread, users = self._threads.pop(directory)
            if users > 1:
                self._threads[directory] = thread, users - 1
                return None
            return thread

    def stop_all(self) -> None:
        """At interpreter exit: end every thread and wait, so that the databases are closed."""
        with self._lock:
            threads = [thread for thread, _ in self._threads.values()]
        for thread in threads:
            thread.stop()
        for thread in threads:
            thread.join()


THREADS = StoreThreads()
atexit.register(THREADS.stop_all)


def _is_busy(error: Exception) -> bool:
    # diskcache reports every failed BEGIN as Timeout; what SQLite said is kept as its context.
    reason = error.__context__ if isinstance(error, diskcache.Timeout) else error
    return isinstance(reason, sqlite3.OperationalError) and "locked" in str(reason)


def _fail(jobs: Iterable[Job], error: Exception) -> None:
    jobs = list(jobs)
    for job in jobs:
        job.error = error
    _deliver(jobs)


def _deliver(jobs: Iterable[Job]) -> None:
    """Hand the answers over, waking every event loop once; a loop that is gone wants none."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Job]] = {}
    for job in jobs:
        by_loop.setdefault(job.loop, []).append(job)
    for loop, answered in by_loop.items():
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_deliver_here, answered)


def _deliver_here(jobs: Iterable[Job]) -> None:
    for job in jobs:
        job.deliver()
