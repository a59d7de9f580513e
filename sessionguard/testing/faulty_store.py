"""The reference store behind a wire that delays, loses and repeats, as a random generator says."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from sessionguard.freshness import ResetPolicy
from sessionguard.keys import split_row_key
from sessionguard.records import Reservation, SessionRecord, Touch
from sessionguard.stores.memory import MemoryStore

T = TypeVar("T")


class FaultyStore(MemoryStore):
    """Faulty until `calm`. `stood` are the ids that stood, in order; `unjustified` says which live rows were replaced.

    Ids in `rebinding` are those of resets, which need no reason.
    """

    def __init__(self, chance: random.Random, clock: Callable[[], int], policy: ResetPolicy) -> None:
        super().__init__(clock=clock)
        self.calm = False
        self.stood: list[str] = [""]
        self.unjustified: list[str] = []
        self._chance = chance
        self._policy = policy
        self._latest = 0
        self._echoes: set[asyncio.Task[Any]] = set()
        self.rebinding: set[str] = set()

    def recall(self, key: str) -> SessionRecord | None:
        """Remember the row or not; what is remembered is true, whatever the wire does."""
        return MemoryStore.recall(self, key) if self._chance.random() < 0.5 else None

    async def get(self, key: str) -> SessionRecord | None:
        return await self._over_the_wire(lambda: MemoryStore.get(self, key))

    async def reserve(self, key: str, candidate_id: str, replacing: SessionRecord | None) -> Reservation:
        return await self._over_the_wire(lambda: self._reserve(key, candidate_id, replacing))

    async def touch(self, updates: Sequence[Touch]) -> None:
        await self._over_the_wire(lambda: MemoryStore.touch(self, updates))

    async def ping(self) -> int:
        now = await self._over_the_wire(lambda: MemoryStore.ping(self))
        self._latest = max(self._latest, now)
        return now

    async def _reserve(self, key: str, candidate_id: str, replacing: SessionRecord | None) -> Reservation:
        before = self._rows.get(key)
        reservation = await MemoryStore.reserve(self, key, candidate_id, replacing)
        after = reservation.record.session_id
        self._latest = max(self._latest, reservation.now)
        if before is not None and before.session_id != after and candidate_id not in self.rebinding:
            rule = self._policy.rule_for(split_row_key(key)[2])
            # The clock may have been set back since the row was judged; what counts is that it was stale once.
            if rule.is_fresh(before, before.updated_at, self._latest):
                self.unjustified.append(f"{before.session_id} was alive when {after} replaced it")
        if self.stood[-1] != after:
            self.stood.append(after)
        return reservation

    async def _over_the_wire(self, verb: Callable[[], Awaitable[T]]) -> T:
        if self.calm:
            return await verb()
        await asyncio.sleep(self._chance.expovariate(20))
        fate = self._chance.random()
        if fate < 0.05:
            raise ConnectionError("the request was lost")
        if fate < 0.08:
            await asyncio.get_running_loop().create_future()
        if fate < 0.13:
            self._echo(verb)
        answer = await verb()
        await asyncio.sleep(self._chance.expovariate(20))
        if fate > 0.95:
            raise ConnectionError("the reply was lost")
        if fate > 0.92:
            await asyncio.get_running_loop().create_future()
        return answer

    def _echo(self, verb: Callable[[], Awaitable[Any]]) -> None:
        """Deliver the request a second time, later."""

        async def again() -> None:
            await asyncio.sleep(self._chance.expovariate(1))
            await verb()

        task = asyncio.ensure_future(again())
        self._echoes.add(task)
        task.add_done_callback(self._echoes.discard)
