"""What a reservation costs the disk store itself, without the way to its thread and back, beside a raw insert."""

import asyncio
import itertools
import sqlite3
import statistics
import tempfile
import time

from answering import answer

from sessionguard.stores.embedded import threads
from sessionguard.stores.embedded.worker import StoreThread
from sessionguard.testing.opening import open_store

ID = "3f2a7d1e-77aa-4e55-9c58-8ab5c2cf8c0d"
ROW = b"x" * 55  # As long as ours.


class OnTheSpot(StoreThread):
    """The store's thread, whose work is done at once by whoever has it, and timed."""

    nanoseconds = 0

    def _run(self):
        """There is nothing left to do here."""

    def accept(self, jobs):
        while jobs:
            jobs = self._attempt(jobs)

    def _execute(self, jobs, writes):
        started = time.perf_counter_ns()
        super()._execute(jobs, writes)
        OnTheSpot.nanoseconds += time.perf_counter_ns() - started


class OwnWork:
    """A store and a raw database of SQLite, both with the same `synchronous`."""

    def __init__(self, directory, synchronous):
        threads.StoreThread = OnTheSpot
        self._store = open_store(f"disk://{directory}?synchronous={synchronous}")
        self._raw = sqlite3.connect(f"{tempfile.mkdtemp()}/raw.db", isolation_level=None)
        self._raw.execute("PRAGMA journal_mode = wal")
        self._raw.execute(f"PRAGMA synchronous = {synchronous}")
        self._raw.execute("CREATE TABLE Rows (key TEXT PRIMARY KEY, row BLOB NOT NULL) WITHOUT ROWID")
        self._keys = (f"default//agent:main:whatsapp:direct:+49151{number:08}" for number in itertools.count())

    async def time(self, turns, at_once):
        """Return the nanoseconds per reservation, so many of them waiting together, and per raw insert.

        They take turns one by one, so that neither has the processor's caches to itself.
        """
        ours, raw = [], []
        for _ in range(turns):
            OnTheSpot.nanoseconds = 0
            await asyncio.gather(*(self._store.reserve(next(self._keys), ID, None) for _ in range(at_once)))
            ours.append(OnTheSpot.nanoseconds / at_once)
            await asyncio.sleep(0)
            raw.append(self._insert(next(self._keys)))
        return statistics.median(ours), statistics.median(raw)

    def _insert(self, key):
        started = time.perf_counter_ns()
        self._raw.execute("INSERT INTO Rows VALUES (?, ?)", (key, ROW))
        return time.perf_counter_ns() - started


if __name__ == "__main__":
    asyncio.run(answer(OwnWork))
