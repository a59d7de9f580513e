"""The one thread of a process that touches a database.

Jobs wait in a queue; the thread takes all that have gathered, commits their writes in one transaction, serves their
reads, and hands the answers back to the event loops they came from. A job never waits longer than its deadline. The
file that was opened is compared with the one that has its name, inside every transaction and after its commit: nothing
is acknowledged that went into a file somebody has deleted or replaced.
"""

from __future__ import annotations

import asyncio
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

from sessionguard.errors import ConfigurationError, SessionGuardError, StoreUnavailable
from sessionguard.stores.embedded.database import Database
from sessionguard.stores.embedded.place import identity

JOB_SECONDS = 2.0
FIRST_PAUSE, LONGEST_PAUSE = 0.0002, 0.005

log = logging.getLogger("sessionguard")

T = TypeVar("T")


class FileReplaced(Exception):
    """The database that is open is no longer the file of that name."""


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

    def run(self, database: Database) -> None:
        self.error = None
        try:
            self.answer = self.work(database)
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
    """A daemon thread with this process's only connection to the database in `path`, opened by `open_database`."""

    def __init__(self, path: Path, open_database: Callable[[], Database]) -> None:
        self._path = path
        self._open_database = open_database
        self._database: Database | None = None
        self._identity: Sequence[tuple[int, int]] = ()
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._stopping = False
        self._reported = ""
        self._when_stopped: Callable[[], object] = lambda: None
        self._thread = threading.Thread(target=self._run, name="sessionguard-store", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[Database], T], *, writes: bool) -> asyncio.Future[T]:
        """Run `work` on the thread, in a transaction if it `writes`; fails with StoreUnavailable when late."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._queue.put(Job(work, writes, loop, future, time.monotonic() + JOB_SECONDS))
        return future

    def stop(self, when_stopped: Callable[[], object] = lambda: None) -> None:
        """Let the thread finish what is queued, close the database, call `when_stopped` and end."""
        self._when_stopped = when_stopped
        self._queue.put(None)

    def join(self, seconds: float) -> bool:
        """Wait for the end of the thread; returns whether it has come."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

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
        """Answer the jobs, first all writes in one transaction, then the reads; return those that have to wait."""
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
            self._execute(jobs, writes)
        except ConfigurationError as error:
            _fail(jobs, error)
        except FileReplaced:
            log.warning("the database %s was deleted or replaced; it is opened anew", self._path)
            self._close()
            return jobs
        except Exception as error:
            if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
                return jobs
            self._recover(error)
            _fail(jobs, StoreUnavailable("The session store failed; try again."))
        else:
            _deliver(jobs)
        return ()

    def _execute(self, jobs: Sequence[Job], writes: bool) -> None:
        if self._database is None:
            self._database = self._open_database()
            self._identity = identity(self._path)
        with self._database.transaction() if writes else contextlib.nullcontext():
            self._check_identity()
            for job in jobs:
                job.run(self._database)
        self._check_identity()
        if writes:
            self._reported = ""

    def _recover(self, error: Exception) -> None:
        if self._database is not None and isinstance(error, sqlite3.OperationalError) and "is full" in str(error):
            # Rolled back and whole: reads go on, while to open anew would itself need room.
            what = "has no room for another row"
        else:
            what = "failed and is opened anew"
            self._close()
        if repr(error) != self._reported:
            self._reported = repr(error)
            log.warning("the session store %s: %r", what, error)

    def _check_identity(self) -> None:
        try:
            current = identity(self._path)
        except OSError:
            current = ()
        if current != self._identity:
            raise FileReplaced

    def _close(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            with contextlib.suppress(sqlite3.Error):
                database.close()


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
