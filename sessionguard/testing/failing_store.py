"""A store whose calls fail as a plan says: the fault wrapper for the k-th call, for every k, and for any store."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar

from sessionguard.records import Reservation, SessionRecord, Touch
from sessionguard.store import SessionStore

T = TypeVar("T")


class Fault(enum.Enum):
    """What can happen to a call on its way."""

    LOST_REQUEST = "lost request"
    LOST_REPLY = "lost reply"
    SILENCE = "silence"


class FailingStore(SessionStore):
    """`store` behind a wire; `plan` is asked before each call, by its number from 1 on, what will happen to it."""

    coordination = "process"

    def __init__(self, store: SessionStore, plan: Callable[[int], Fault | None]) -> None:
        self._store = store
        self._plan = plan
        self.calls = 0

    @property
    def location(self) -> str:
        return self._store.location

    def recall(self, key: str) -> SessionRecord | None:
        return self._store.recall(key)

    async def get(self, key: str) -> SessionRecord | None:
        return await self._over_the_wire(lambda: self._store.get(key))

    async def reserve(self, key: str, candidate_id: str, replacing: SessionRecord | None) -> Reservation:
        return await self._over_the_wire(lambda: self._store.reserve(key, candidate_id, replacing))

    async def touch(self, updates: Sequence[Touch]) -> None:
        await self._over_the_wire(lambda: self._store.touch(updates))

    async def forget(self, key: str, session_id: str, idle_before: int | None = None) -> bool:
        return await self._over_the_wire(lambda: self._store.forget(key, session_id, idle_before))

    def scan(self, prefix: str = "") -> AsyncIterator[tuple[str, SessionRecord]]:
        return self._store.scan(prefix)

    async def ping(self) -> int:
        return await self._over_the_wire(self._store.ping)

    async def aclose(self) -> None:
        await self._store.aclose()

    async def _over_the_wire(self, call: Callable[[], Awaitable[T]]) -> T:
        self.calls += 1
        fault = self._plan(self.calls)
        if fault is Fault.LOST_REQUEST:
            raise ConnectionError("the request was lost")
        answer = await call()
        if fault is Fault.LOST_REPLY:
            raise ConnectionError("the reply was lost")
        if fault is Fault.SILENCE:
            await asyncio.get_running_loop().create_future()
        return answer
