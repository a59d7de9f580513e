"""The leases of a store, as the turns of one gate use them. All times are seconds."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Coroutine
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from sessionguard import ConfigurationError, Lease, LeaseAnswer, LeaseSupport, Refusal, StoreUnavailable
from sessionguard_turns.settings import Mode

if TYPE_CHECKING:
    from sessionguard.ear import Listening

T = TypeVar("T")

log = logging.getLogger("sessionguard")


class Leasing:
    """Every lease lasts `seconds` unless it is renewed. Every verb raises what a store does."""

    def __init__(self, store: LeaseSupport, namespace: str, seconds: float) -> None:
        self.seconds = seconds
        self._store = store
        self._namespace = namespace
        self._failing_since: float | None = None
        self._reported = ""
        store.expect_leases()

    def name_of(self, conversation: str, mode: Mode) -> str:
        """Return the name to be had for a turn. A settled one is given to nobody, so whole turns need another name."""
        return f"{'first' if mode is Mode.FIRST else 'turn'}/{self._namespace}/{conversation}"

    def outage(self) -> float:
        """Return for how long the store has been failing; 0 while it serves."""
        return 0.0 if self._failing_since is None else monotonic() - self._failing_since

    async def acquire(self, name: str, owner: str, waited: float | None) -> LeaseAnswer:
        """Ask for the lease; who has `waited` keeps a place in the queue."""
        milliseconds = None if waited is None else _milliseconds(waited)
        return await self._told(self._store.acquire(name, owner, _milliseconds(self.seconds), waited=milliseconds))

    async def renew(self, name: str, owner: str) -> Lease | None:
        """Return the lease, if it is still the owner's."""
        return await self._told(self._store.renew(name, owner, _milliseconds(self.seconds)))

    async def release(self, name: str, owner: str, settled_for: float) -> bool:
        """Give back lease and place."""
        return await self._told(self._store.release(name, owner, settled_for=_milliseconds(settled_for)))

    def forget(self, name: str, owner: str) -> None:
        """Give up, in the background, what somebody has who is not there any more; if that fails, it ends by itself."""
        in_background(self._forget(name, owner))

    async def _forget(self, name: str, owner: str) -> None:
        with contextlib.suppress(Refusal):
            await self.release(name, owner, 0)

    def listen(self, owner: str) -> Listening | None:
        """Return how it is heard that asking is worth it again, None where it is not."""
        return self._store.listen(owner)

    async def _told(self, answer: Awaitable[T]) -> T:
        """Return the store's answer; what an operator has to mend is for the log."""
        try:
            told = await answer
        except ConfigurationError as error:
            self._report(str(error))
            raise self._failing(
                StoreUnavailable("The session store cannot be used; the server's log says why.")
            ) from error
        except StoreUnavailable as error:
            raise self._failing(error) from None
        self._failing_since, self._reported = None, ""
        return told

    def _report(self, mistake: str) -> None:
        if mistake != self._reported:
            self._reported = mistake
            log.error("the leases of the session store cannot be used: %s", mistake)

    def _failing(self, error: StoreUnavailable) -> StoreUnavailable:
        if self._failing_since is None:
            self._failing_since = monotonic()
        return error


def in_background(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Return the task that does it, which is kept until it is done."""
    task = asyncio.ensure_future(work)
    _background.add(task)
    task.add_done_callback(_background.discard)
    return task


_background: set[asyncio.Task[None]] = set()


def _milliseconds(seconds: float) -> int:
    return int(1000 * seconds)
