"""The reference store: the contract in its shortest form, for tests and single processes."""

from __future__ import annotations

import itertools
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from sessionguard.errors import ConfigurationError
from sessionguard.leases import Lease, LeaseAnswer, LeaseRow, LeaseSupport
from sessionguard.records import Reservation, SessionRecord, Touch
from sessionguard.store import AdoptingStore, wall_clock

if TYPE_CHECKING:
    from sessionguard.settings import GuardSettings

SWEEP = 50
SWEPT_LEASES = 4


class MemoryStore(AdoptingStore, LeaseSupport):
    """Rows in a dictionary. `clock` gives milliseconds since the epoch; `retention` is in milliseconds."""

    coordination = "process"
    location = "the memory of this process"

    def __init__(self, *, clock: Callable[[], int] = wall_clock, retention: int | None = None) -> None:
        self._rows: dict[str, SessionRecord] = {}
        self._lock = threading.Lock()
        self._clock = clock
        self._retention = retention
        self._sweep_from: Iterator[str] = iter(())
        self._leases: dict[str, LeaseRow] = {}
        self._fencing_number = 0

    @classmethod
    def from_url(cls, url: str, settings: GuardSettings) -> MemoryStore:
        if url.rstrip("/") != "memory:":
            raise ConfigurationError(f"store: {url!r} has parts a memory store does not know; write memory:")
        return cls(retention=None if settings.retention is None else int(settings.retention * 1000))

    def warnings(self) -> Sequence[str]:
        return ["every process has conversations of its own, and they end with it"]

    def recall(self, key: str) -> SessionRecord | None:
        return self._rows.get(key)

    async def get(self, key: str) -> SessionRecord | None:
        return self._rows.get(key)

    async def reserve(self, key: str, candidate_id: str, replacing: SessionRecord | None) -> Reservation:
        with self._lock:
            now = self._clock()
            row = self._rows.get(key)
            if row is None or row.may_be_replaced(replacing):
                row = self._rows[key] = SessionRecord(candidate_id, now, now)
                self._sweep(now)
            return Reservation(row, row.session_id == candidate_id, now)

    async def adopt(self, key: str, record: SessionRecord, replacing: SessionRecord | None) -> SessionRecord:
        with self._lock:
            row = self._rows[key] = record.adopted(self._rows.get(key), replacing)
            return row

    async def touch(self, updates: Sequence[Touch]) -> None:
        with self._lock:
            now = self._clock()
            for update in updates:
                row = self._rows.get(update.key)
                if row is not None and row.session_id == update.session_id:
                    self._rows[update.key] = row.touched(now - update.age)

    async def forget(self, key: str, session_id: str, idle_before: int | None = None) -> bool:
        with self._lock:
            row = self._rows.get(key)
            if row is None or not row.may_be_forgotten(session_id, idle_before):
                return False
            del self._rows[key]
            return True

    async def scan(self, prefix: str = "") -> AsyncIterator[tuple[str, SessionRecord]]:
        with self._lock:
            rows = sorted((key, row) for key, row in self._rows.items() if key.startswith(prefix))
        for pair in rows:
            yield pair

    async def acquire(self, name: str, owner: str, duration: int, *, waited: int | None = None) -> LeaseAnswer:
        with self._lock:
            now = self._clock()
            row, answer = self._lease(name).acquire(owner, duration, waited, now, self._next_number)
            self._keep(name, row, now)
            return answer

    async def renew(self, name: str, owner: str, duration: int) -> Lease | None:
        with self._lock:
            now = self._clock()
            row, renewed = self._lease(name).renew(owner, duration, now)
            self._keep(name, row, now)
            return renewed

    async def release(self, name: str, owner: str, *, settled_for: int = 0) -> bool:
        with self._lock:
            now = self._clock()
            row, released = self._lease(name).release(owner, settled_for, now)
            self._keep(name, row, now)
            return released

    async def ping(self) -> int:
        return self._clock()

    async def aclose(self) -> None:
        """Nothing to give back; the rows live as long as the store object."""

    def _lease(self, name: str) -> LeaseRow:
        return self._leases.get(name, LeaseRow())

    def _next_number(self) -> int:
        """Return one greater than those before, also than those of an earlier process."""
        self._fencing_number = max(self._fencing_number + 1, self._clock())
        return self._fencing_number

    def _keep(self, name: str, row: LeaseRow, now: int) -> None:
        """Keep the row as the youngest one, and remove some of the oldest if they are over."""
        self._leases.pop(name, None)
        self._leases[name] = row
        for oldest in list(itertools.islice(self._leases, SWEPT_LEASES)):
            if self._leases[oldest].ends_at <= now:
                del self._leases[oldest]

    def _sweep(self, now: int) -> None:
        """Remove rows beyond their retention, looking at a few more of them with every new row."""
        if self._retention is None:
            return
        keys = list(itertools.islice(self._sweep_from, SWEEP))
        if not keys:
            self._sweep_from = iter(list(self._rows))
        for key in keys:
            row = self._rows.get(key)
            if row is not None and row.updated_at < now - self._retention:
                del self._rows[key]
