"""The one thread of a process that touches a database.

Jobs wait in a queue; the thread takes all that have gathered, commits their writes in one transaction, serves their
reads, and hands the answers back to the event loops they came from. A job never waits longer than its deadline. The
file that was opened is compared with the one that has its name, inside every transaction and after its commit: nothing
is acknowledged that went into a file somebody has deleted or replaced.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import queue
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterator, MutableMapping, Sequence
from pathlib import Path

from sessionguard.errors import ConfigurationError, StoreUnavailable
from sessionguard.stores.embedded.checking import DatabaseChanged, is_contention
from sessionguard.stores.embedded.database import Database, Found
from sessionguard.stores.embedded.generations import beside
from sessionguard.stores.embedded.jobs import Job, deliver, fail
from sessionguard.stores.embedded.memory import CoherentMemory
from sessionguard.stores.embedded.place import identity
from sessionguard.stores.embedded.rows import Rows

FIRST_PAUSE, LONGEST_PAUSE = 0.0002, 0.005
CHECK_SECONDS = 1.0

log = logging.getLogger("sessionguard")


class StoreThread:
    """A daemon thread with this process's only connection to the database in `path`, opened by `open_database`.

    What it reads and writes is kept in `memory` while the database is open.
    """

    def __init__(self, path: Path, open_database: Callable[[], Database], memory: CoherentMemory) -> None:
        self._path = path
        self._files = str(path), f"{path}-wal", str(beside(path))
        self._memory = memory
        self._open_database = open_database
        self._database: Database | None = None
        self._identity: Sequence[tuple[int, int]] = ()
        self._queue: queue.SimpleQueue[Sequence[Job] | None] = queue.SimpleQueue()
        self._stopping = False
        self._reported = ""
        self._when_stopped: Callable[[], object] = lambda: None
        self._thread = threading.Thread(target=self._run, name="sessionguard-store", daemon=True)
        self._thread.start()

    def accept(self, jobs: Sequence[Job]) -> None:
        """Run the jobs; those that are late fail with StoreUnavailable."""
        self._queue.put(jobs)

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
            arrived = [*self._arrived(block=not waiting)]
            # The event loops finish what they are about; what comes of it shares the commit.
            time.sleep(0)
            for job in waiting:
                job.begin_anew()
            waiting = self._attempt([*waiting, *arrived, *self._arrived(block=False)])
        self._close()
        with contextlib.suppress(RuntimeError):
            self._when_stopped()

    def _arrived(self, block: bool) -> Iterator[Job]:
        """Yield what has gathered in the queue; if `block`, wait for the first job, or until it is time to check."""
        seconds = CHECK_SECONDS if len(self._memory) else None
        try:
            while True:
                jobs = self._queue.get(block, seconds)
                block = False
                if jobs is None:
                    self._stopping = True
                else:
                    yield from jobs
        except queue.Empty:
            if block:
                self._close_if_replaced()

    def _attempt(self, jobs: Sequence[Job]) -> list[Job]:
        """Answer the jobs, first the reads, then all writes in one transaction; return those that have to wait."""
        now = time.monotonic()
        wanted = [job for job in jobs if job.is_wanted]
        fail([job for job in wanted if job.deadline <= now], StoreUnavailable("The session store is busy; try again."))
        due = [job for job in wanted if job.deadline > now]
        return [
            *self._attempt_together([job for job in due if not job.writes], writes=False),
            *self._attempt_together([job for job in due if job.writes], writes=True),
        ]

    def _attempt_together(self, jobs: Sequence[Job], writes: bool) -> Sequence[Job]:
        if not jobs:
            return ()
        try:
            self._execute(jobs, writes)
        except ConfigurationError as error:
            fail(jobs, error)
        except DatabaseChanged as change:
            self._close_changed(change)
            return jobs
        except Exception as error:
            if is_contention(error):
                return jobs
            self._recover(error)
            fail(jobs, StoreUnavailable("The session store failed; try again."))
        else:
            deliver(jobs)
        return ()

    def _execute(self, jobs: Sequence[Job], writes: bool) -> None:
        database = self._open() if self._database is None else self._database
        keys = {key: None for job in jobs for key in job.keys}
        if writes:
            with self._memory.writing():
                with database.transaction():
                    self._check(database)
                    rows = Rows(database, database.read(self._memory.perhaps_there(keys)))
                    _run(jobs, rows)
                    rows.flush()
                    self._memory.before_commit(rows.moved)
                self._check_identity()
                self._memory.after_commit()
            self._reported = ""
        else:
            # From a retired database nobody is served, so there is nothing to read and to remember.
            asked = () if database.mark.standing else keys
            read = functools.partial(self._read, database, any(job.believes_absence for job in jobs))
            _run(jobs, Rows(database, self._memory.read(asked, read)))

    def _read(self, database: Database, absence_counts: bool, keys: Collection[str]) -> MutableMapping[str, Found]:
        """Read rows that may be remembered: they are those of the database that was checked, and it is not retired."""
        found = database.read(keys)
        if found or absence_counts:
            # Behind the read: the counters were looked at before it, so a mark made meanwhile is seen by them or here.
            self._check(database)
        return found

    def _open(self) -> Database:
        database = self._database = self._open_database()
        try:
            self._memory.attach(beside(self._path))
            self._identity = identity(*self._files)
        except BaseException:
            self._close()
            raise
        if (retirement := database.mark.standing) is not None:
            log.warning("the database %s is retired, its conversations went to %s", self._path, retirement.moved_to)
        return database

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

    def _check(self, database: Database) -> None:
        """Raise DatabaseChanged if the file or its schema is not the one that was opened."""
        self._check_identity()
        database.mark.check()

    def _check_identity(self) -> None:
        try:
            current = identity(*self._files)
        except OSError:
            current = ()
        if current != self._identity:
            raise DatabaseChanged("was deleted or replaced")

    def _close_if_replaced(self) -> None:
        """Nobody asks the database while all is remembered, so nobody would see that it is another one."""
        try:
            self._check_identity()
        except DatabaseChanged as change:
            self._close_changed(change)

    def _close_changed(self, change: DatabaseChanged) -> None:
        log.warning("the database %s %s; it is opened anew", self._path, change)
        self._close()

    def _close(self) -> None:
        self._memory.detach()
        database, self._database = self._database, None
        if database is not None:
            with contextlib.suppress(sqlite3.Error):
                database.close()


def _run(jobs: Sequence[Job], rows: Rows) -> None:
    for job in jobs:
        job.run(rows)
