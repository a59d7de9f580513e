"""The lease behind one turn: asked for, renewed while the turn runs, given back once.

It keeps turns apart that are in different processes. Whoever has it and dies loses it by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from time import monotonic
from typing import TYPE_CHECKING, Any

from sessionguard import LeaseAnswer, Refusal
from sessionguard_turns.leasing import Leasing, in_background

if TYPE_CHECKING:
    from sessionguard.ear import Listening

SHORTEST_PAUSE, LONGEST_PAUSE = 0.2, 2.0
"""In seconds, between attempts to give a lease back."""

log = logging.getLogger("sessionguard")


class Leasehold:
    """One turn's lease of `name`; `owner` is the turn's token."""

    def __init__(self, leasing: Leasing, name: str, owner: str) -> None:
        self.was_granted = False
        self._leasing = leasing
        self._name = name
        self._owner = owner
        self._asking: asyncio.Future[LeaseAnswer] | None = None
        self._renewing: asyncio.Task[None] | None = None
        self._giving_back: asyncio.Task[None] | None = None

    async def ask(self, waited: float | None) -> LeaseAnswer:
        """Ask once; who has `waited`, in seconds, keeps a place in the queue. Raises StoreUnavailable."""
        # A question goes on when its asker is cancelled, so that the lease is not given back before it was given.
        self._asking = asyncio.ensure_future(self._leasing.acquire(self._name, self._owner, waited))
        answer = await asyncio.shield(self._asking)
        if answer.granted:
            self.was_granted = True
            self._renewing = asyncio.ensure_future(self._renew())
        return answer

    def listen(self) -> Listening | None:
        """Return how it is heard that asking is worth it again, None where it is not."""
        return self._leasing.listen(self._owner)

    def outage(self) -> float:
        """Return for how many seconds the store has been failing."""
        return self._leasing.outage()

    def give_back(self, settled_for: float = 0, heir: tuple[str, float] | None = None) -> asyncio.Task[None]:
        """Return what gives lease and place back, in the background, once however often it is asked for.

        `heir` is an owner that waits for this process, and for how long it has: before anybody else can have the lease
        it gets the place in the queue that is due to it.
        """
        if self._giving_back is None:
            self._giving_back = in_background(self._release(settled_for, heir))
        return self._giving_back

    def forget(self, heir: str) -> None:
        """Give up the place of an owner that did not stay until it came to it."""
        self._leasing.forget(self._name, heir)

    async def _renew(self) -> None:
        pause = self._leasing.seconds / 3
        while True:
            await asyncio.sleep(pause)
            try:
                lease = await self._leasing.renew(self._name, self._owner)
            except Refusal as error:
                log.warning("the lease of a turn was not renewed and is tried again: %s", error)
                pause = self._leasing.seconds / 10
                continue
            if lease is None:
                log.warning("a turn has lost its lease, since it was not renewed in time; another may run beside it")
                return
            pause = self._leasing.seconds / 3

    async def _release(self, settled_for: float, heir: tuple[str, float] | None) -> None:
        """Give it back, trying again for as long as it would last by itself."""
        if self._renewing is not None:
            self._renewing.cancel()
        under_way: list[asyncio.Future[Any]] = [each for each in (self._asking, self._renewing) if each is not None]
        await asyncio.wait(under_way)
        if heir is not None:
            with contextlib.suppress(Refusal):
                await self._leasing.acquire(self._name, *heir)
        pause, end = SHORTEST_PAUSE, monotonic() + self._leasing.seconds
        while True:
            try:
                await self._leasing.release(self._name, self._owner, settled_for)
                return
            except Refusal as error:
                if monotonic() + pause > end:
                    log.warning("the lease of a turn could not be given back and ends by itself: %s", error)
                    return
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
