"""Calls to the store that always end: each one is bounded in time, and those who watch are told.

Whatever a store raises that the contract does not know becomes `StoreUnavailable`: without an answer there is no id.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

from sessionguard.deadlines import bounded
from sessionguard.errors import ConfigurationError, Refusal, StoreUnavailable
from sessionguard.records import Reservation, SessionRecord, Touch
from sessionguard.store import Offer, SessionStore

ATTEMPT_SECONDS = 0.8
PAUSE_SECONDS = 0.05

log = logging.getLogger("sessionguard")

T = TypeVar("T")


class StoreAttempts:
    """The verbs a resolution needs, with deadlines. Deadlines are in seconds of the running loop's clock."""

    def __init__(self, store: SessionStore, tell: Callable[..., None] | None = None) -> None:
        self.recall = store.recall
        """Not a call: nobody is told of it, and nobody waits."""
        self.begin_reserve = store.begin_reserve if tell is None else _nothing_untold
        """No limit of time, and not what others watch: for a first attempt, that `reserve` can be put behind."""
        self._store = store
        self._tell = tell
        self._reported = ""

    def get(self, key: str, deadline: float) -> Awaitable[SessionRecord | None]:
        return self._call("get", self._store.get(key), deadline)

    def now(self, deadline: float) -> Awaitable[int]:
        """Return the store's clock in milliseconds."""
        return self._call("ping", self._store.ping(), deadline)

    def touch(self, updates: Sequence[Touch]) -> Awaitable[None]:
        return self._call("touch", self._store.touch(updates), _now() + ATTEMPT_SECONDS)

    async def reserve(
        self, key: str, candidate_id: str, replacing: SessionRecord | None, deadline: float
    ) -> Reservation:
        """Reserve; while the outcome is unknown and time is left, again with the very same arguments."""
        while True:
            due = min(_now() + ATTEMPT_SECONDS, deadline)
            try:
                return await self._call("reserve", self._store.reserve(key, candidate_id, replacing), due)
            except StoreUnavailable:
                if deadline - _now() <= PAUSE_SECONDS:
                    raise
                await asyncio.sleep(PAUSE_SECONDS)

    async def _call(self, verb: str, work: Coroutine[Any, Any, T], due: float) -> T:
        started = time.perf_counter()
        outcome = "cancelled"
        try:
            answer = await bounded(work, due)
            outcome = "ok"
            return answer
        except Refusal as error:
            outcome = error.code
            raise
        except Exception as error:
            outcome = StoreUnavailable.code
            raise self._unusable(error) from error
        finally:
            if self._tell is not None:
                self._tell(verb, outcome, time.perf_counter() - started)

    def _unusable(self, error: Exception) -> StoreUnavailable:
        reason = str(error) if isinstance(error, ConfigurationError) else repr(error)
        if reason != self._reported:
            self._reported = reason
            log.error("the session store cannot be used: %s", reason)
        return StoreUnavailable("The session store cannot be used; the server's log says why.")


def _nothing_untold(offers: Sequence[Offer]) -> bool:
    """Those who watch are told of every call, and of how it ended."""
    return False


def _now() -> float:
    return asyncio.get_running_loop().time()
