"""Copying the rows of one store to another by compare-and-set, while both may be in use.

A pass looks at every row of the source and offers it to the target. It remembers nothing, so a copy that was
interrupted at any point is resumed by starting it again, and what changes meanwhile is what the next pass finds.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from sessionguard.errors import StoreUnavailable
from sessionguard.records import SessionRecord
from sessionguard.store import AdoptingStore, SessionStore

BATCH = 200
TRIES = 8
MOST_PASSES = 10
ATTEMPTS, PAUSE_SECONDS = 5, 1.0

T = TypeVar("T")


class Outcome(enum.Enum):
    """What a row of the source met in the target."""

    SAME = "same"
    """The same session, used as lately."""
    COPIED = "copied"
    """Nothing, and was written."""
    REFRESHED = "refreshed"
    """The same session, used less lately; the use was written."""
    REPLACED = "replaced"
    """Another session that was used no later, and was written over it."""
    KEPT = "kept"
    """Another session that was used later, and stays."""


CHANGES = (Outcome.COPIED, Outcome.REFRESHED, Outcome.REPLACED)


@dataclass
class Pass:
    """What one pass over the source has met; `kept` are the row keys of `Outcome.KEPT`."""

    counts: Counter[Outcome] = field(default_factory=Counter)
    kept: list[str] = field(default_factory=list)

    @property
    def rows(self) -> int:
        return self.counts.total()

    @property
    def changes(self) -> int:
        return sum(self.counts[outcome] for outcome in CHANGES)

    def add(self, key: str, outcome: Outcome) -> None:
        self.counts[outcome] += 1
        if outcome is Outcome.KEPT:
            self.kept.append(key)


class StoreCopy:
    """Copies rows. `watch` is told the number of every pass, from 1 on, and how many rows it has looked at.

    With `dry`, passes look and write nothing.
    """

    def __init__(
        self,
        source: SessionStore,
        target: AdoptingStore,
        *,
        dry: bool = False,
        watch: Callable[[int, int], object] = lambda number, rows: None,
    ) -> None:
        self._source = source
        self._target = target
        self._dry = dry
        self._watch = watch
        self.passes = 0
        self.totals: Counter[Outcome] = Counter()

    async def settle(self) -> Pass:
        """Repeat passes while each finds much less to do than the one before it; returns the last."""
        latest = await self.run()
        while latest.changes and not self._dry and self.passes < MOST_PASSES:
            before, latest = latest, await self.run()
            if 2 * latest.changes > before.changes:
                break
        return latest

    async def complete(self) -> Pass:
        """Repeat passes until one changes nothing, and return it; for a source that does not change any more.

        Raises StoreUnavailable when the target does not come to rest either.
        """
        for _ in range(MOST_PASSES):
            latest = await self.run()
            if not latest.changes:
                return latest
        raise StoreUnavailable("Rows that were copied do not stay in the new store; is somebody removing them?")

    async def run(self) -> Pass:
        """Make one pass; a store that is busy is given some time. Raises StoreUnavailable when it needs more."""
        self.passes += 1
        return await patiently(self._run)

    async def _run(self) -> Pass:
        found = Pass()
        batch: list[tuple[str, SessionRecord]] = []
        async for pair in self._source.scan():
            batch.append(pair)
            if len(batch) == BATCH:
                await self._offer_all(batch, found)
                batch = []
        await self._offer_all(batch, found)
        return found

    async def _offer_all(self, batch: list[tuple[str, SessionRecord]], found: Pass) -> None:
        outcomes = await asyncio.gather(*(self._offer(key, record) for key, record in batch))
        for (key, _), outcome in zip(batch, outcomes, strict=True):
            found.add(key, outcome)
            self.totals[outcome] += 1
        self._watch(self.passes, found.rows)

    async def _offer(self, key: str, record: SessionRecord) -> Outcome:
        for _ in range(TRIES):
            standing = await self._target.get(key)
            outcome = judge(record, standing)
            if self._dry or outcome not in CHANGES:
                return outcome
            adopted = await self._target.adopt(key, record, standing)
            if adopted.session_id == record.session_id:
                return outcome
        raise StoreUnavailable("A conversation is being changed in the new store by too many others at once.")


async def patiently(call: Callable[[], Awaitable[T]]) -> T:
    """Call again after a pause while the store does not answer; raises StoreUnavailable when it still does not."""
    for _ in range(1, ATTEMPTS):
        with contextlib.suppress(StoreUnavailable):
            return await call()
        await asyncio.sleep(PAUSE_SECONDS)
    return await call()


def judge(record: SessionRecord, standing: SessionRecord | None) -> Outcome:
    """Return what is to be done about a row of the source where `standing` is the row of the target."""
    if standing is None:
        return Outcome.COPIED
    if standing.session_id == record.session_id:
        return Outcome.REFRESHED if standing.updated_at < record.updated_at else Outcome.SAME
    # Of the same millisecond, the source's is the later one: a row that was reset right after it had been copied.
    return Outcome.KEPT if standing.updated_at > record.updated_at else Outcome.REPLACED
