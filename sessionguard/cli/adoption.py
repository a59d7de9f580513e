"""Taking over the ids that a gateway has given to its conversations, by compare-and-set."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sessionguard.copying import TRIES, Outcome, judge, patiently
from sessionguard.errors import StoreUnavailable
from sessionguard.records import SessionRecord
from sessionguard.store import AdoptingStore

MOST_CONFLICTS = 1000
UNCHANGED = {Outcome.REPLACED: Outcome.KEPT, Outcome.REFRESHED: Outcome.SAME}
"""The outcomes where a row that stands is left as it is."""


class Conflict(NamedTuple):
    """A conversation with another id in the guard's store than in the gateway's."""

    key: str
    stands: str
    offered: str


@dataclass
class Adopted:
    """How many entries had which outcome. Of the conflicts, the first `MOST_CONFLICTS` are kept."""

    counts: Counter[Outcome] = field(default_factory=Counter)
    conflicts: list[Conflict] = field(default_factory=list)

    def add(self, outcome: Outcome, conflict: Conflict | None) -> None:
        self.counts[outcome] += 1
        if conflict is not None and len(self.conflicts) < MOST_CONFLICTS:
            self.conflicts.append(conflict)


class Offer(NamedTuple):
    """An entry of the gateway: the key as it is there, the key of the guard's row, and the row."""

    key: str
    row_key: str
    record: SessionRecord


class Adoption:
    """Offers rows to a store. With `dry` nothing is written.

    A row that stands is never changed, unless `takes_newer` and the gateway has used its own later.
    """

    def __init__(self, store: AdoptingStore, *, dry: bool, takes_newer: bool) -> None:
        self._store = store
        self._dry = dry
        self._takes_newer = takes_newer
        self.adopted = Adopted()

    async def offer(self, offers: Sequence[Offer]) -> None:
        """Offer some rows at once; raises StoreUnavailable when the store does not answer for long."""
        for outcome, conflict in await asyncio.gather(*map(self._offer_patiently, offers)):
            self.adopted.add(outcome, conflict)

    async def _offer_patiently(self, offer: Offer) -> tuple[Outcome, Conflict | None]:
        return await patiently(lambda: self._offer(offer))

    async def _offer(self, offer: Offer) -> tuple[Outcome, Conflict | None]:
        for _ in range(TRIES):
            standing = await self._store.get(offer.row_key)
            outcome = self._judge(offer.record, standing)
            if outcome is Outcome.KEPT and standing is not None:
                return outcome, Conflict(offer.key, standing.session_id, offer.record.session_id)
            if self._dry or outcome is Outcome.SAME:
                return outcome, None
            row = await self._store.adopt(offer.row_key, offer.record, standing)
            if row.session_id == offer.record.session_id:
                return outcome, None
        raise StoreUnavailable("A conversation is being changed by too many others at once.")

    def _judge(self, record: SessionRecord, standing: SessionRecord | None) -> Outcome:
        outcome = judge(record, standing)
        return outcome if self._takes_newer else UNCHANGED.get(outcome, outcome)
