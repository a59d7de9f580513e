"""The verbs of the contract on a `Database`: each is one function that runs on the store thread.

A function that writes is handed its rows inside a transaction that the thread has begun, read anew in there.
"""

from __future__ import annotations

import abc
import asyncio
import contextlib
import functools
import os
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypeVar

from sessionguard.errors import CorruptRecord
from sessionguard.records import Reservation, Retirement, SessionRecord, Touch
from sessionguard.store import AdoptingStore, AwaitedOffer, Offer, RetirableStore, wall_clock
from sessionguard.stores.embedded import place, url
from sessionguard.stores.embedded.database import Database
from sessionguard.stores.embedded.leases import EmbeddedLeases, LeaseFile
from sessionguard.stores.embedded.offers import Offers
from sessionguard.stores.embedded.rows import Rows
from sessionguard.stores.embedded.threads import THREADS, Tenancy

if TYPE_CHECKING:
    from typing_extensions import Self

    from sessionguard.settings import GuardSettings

PAGE = 500
SWEEP = 50

T = TypeVar("T")


class EmbeddedStore(EmbeddedLeases, AdoptingStore, RetirableStore):
    """Rows in one file of a directory, shared by the processes of one host.

    `synchronous` is `full` or `normal`; `network_filesystem` allows a directory on one; `retention` is in milliseconds;
    `clock` gives milliseconds since the epoch.
    """

    coordination = "host"
    remembers = True
    file_name: ClassVar[str]

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        synchronous: str = "full",
        network_filesystem: bool = False,
        retention: int | None = None,
        clock: Callable[[], int] = wall_clock,
    ) -> None:
        self._directory = Path(directory).absolute()
        self._retention = retention
        self._clock = clock
        self._swept_to = ""
        self._warnings: Sequence[str] = ()
        path = self._directory / self.file_name

        def open_database() -> Database:
            database = self.open_database(path, synchronous, network_filesystem)
            # Here and not in `warnings`, because looking at the place can take as long as its disk likes.
            self._warnings = tuple(place.warnings(self._directory))
            return database

        self._tenancy = Tenancy(THREADS, path, open_database)
        self._leases = LeaseFile(self._directory, network_filesystem, clock)
        self._memory = self._tenancy.memory
        # What the method of the class does, but for one call less on the way of every established request.
        self.recall = self._memory.recall  # type: ignore[method-assign]

    @classmethod
    def from_url(cls, text: str, settings: GuardSettings) -> Self:
        """Read `scheme:` or `scheme:///path` with the options `synchronous` and `network_filesystem`."""
        directory, synchronous, network_filesystem, retention = url.parse(text, settings)
        return cls(directory, synchronous=synchronous, network_filesystem=network_filesystem, retention=retention)

    @staticmethod
    @abc.abstractmethod
    def open_database(path: Path, synchronous: str, network_filesystem: bool) -> Database:
        """Open the file; raises ConfigurationError for a place or a file that is not ours."""

    @property
    def location(self) -> str:
        return str(self._directory)

    def warnings(self) -> Sequence[str]:
        return self._warnings

    async def get(self, key: str) -> SessionRecord | None:
        return await self._serve((key,), lambda rows: rows.get(key), writes=False)

    async def reserve(self, key: str, candidate_id: str, replacing: SessionRecord | None) -> Reservation:
        offer = AwaitedOffer(key, candidate_id, replacing)
        self.begin_reserve([offer])
        return await offer.future

    def begin_reserve(self, offers: Sequence[Offer]) -> bool:
        self._tenancy.accept(Offers(offers, self._clock, self._sweep))
        return True

    async def adopt(self, key: str, record: SessionRecord, replacing: SessionRecord | None) -> SessionRecord:
        def adopt(rows: Rows) -> SessionRecord:
            standing = rows.get(key)
            adopted = record.adopted(standing, replacing)
            if adopted != standing:
                rows.put(key, adopted)
            return adopted

        return await self._serve((key,), adopt, writes=True)

    async def touch(self, updates: Sequence[Touch]) -> None:
        def touch(rows: Rows) -> None:
            now = self._clock()
            for update in updates:
                row = rows.get(update.key)
                if row is None or row.session_id != update.session_id:
                    continue
                if (touched := row.touched(now - update.age)) is not row:
                    rows.touch(update.key, touched)

        await self._serve([update.key for update in updates], touch, writes=True)

    async def forget(self, key: str, session_id: str, idle_before: int | None = None) -> bool:
        def forget(rows: Rows) -> bool:
            row = rows.get(key)
            if row is None or not row.may_be_forgotten(session_id, idle_before):
                return False
            rows.delete(key)
            return True

        return await self._serve((key,), forget, writes=True)

    async def scan(self, prefix: str = "") -> AsyncIterator[tuple[str, SessionRecord]]:
        after = ""
        while page := await self._tenancy.submit(
            (), functools.partial(_page, prefix=prefix, after=after), writes=False
        ):
            for pair in page:
                yield pair
            after = page[-1][0]

    async def ping(self) -> int:
        return await self._serve((), lambda rows: self._clock(), writes=False)

    async def retirement(self) -> Retirement | None:
        return await self._tenancy.submit((), lambda rows: rows.database.mark.standing, writes=False)

    async def retire(self, moved_to: str, *, finished: bool = False) -> None:
        retirement = Retirement(moved_to, finished)
        await self._tenancy.submit((), lambda rows: rows.retire(retirement), writes=True)

    async def revive(self) -> None:
        await self._tenancy.submit((), lambda rows: rows.database.mark.remove(), writes=True)

    async def aclose(self) -> None:
        await self._tenancy.aclose()
        await self._leases.aclose()

    def _serve(self, keys: Collection[str], work: Callable[[Rows], T], *, writes: bool) -> asyncio.Future[T]:
        return self._tenancy.submit(keys, work, writes=writes, serves=True)

    def _sweep(self, rows: Rows, now: int) -> None:
        """Remove rows beyond their retention, looking at a few more of them with every new row."""
        if self._retention is None:
            return
        keys = rows.database.keys(self._swept_to, SWEEP)
        self._swept_to = keys[-1] if len(keys) == SWEEP else ""
        rows.fetch(keys)
        for key in keys:
            # A row that does not decode is not ours to remove, and not this request's to stumble over.
            with contextlib.suppress(CorruptRecord):
                row = rows.get(key)
                if row is not None and row.updated_at < now - self._retention:
                    rows.delete(key)


def _page(rows: Rows, prefix: str, after: str) -> Sequence[tuple[str, SessionRecord]]:
    return [(key, row) for key, row in rows.database.page(prefix, after, PAGE) if key.startswith(prefix)]
