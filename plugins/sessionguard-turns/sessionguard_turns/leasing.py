"""The lease behind a turn: asked for, renewed while the turn runs, given back once.

It keeps turns apart that are in different processes. Whoever has it and dies loses it by itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from sessionguard import ConfigurationError, Lease, LeaseAnswer, LeaseSupport, Refusal, StoreUnavailable
from sessionguard_turns.settings import Mode

if TYPE_CHECKING:
    from sessionguard.ear import Listening

SHORTEST_PAUSE, LONGEST_PAUSE = 0.2, 2.0
"""In seconds, between attempts to give a lease back."""

T = TypeVar("T")

log = logging.getLogger("sessionguard")


class Leasehold:
    """One turn's lease of `name`, for `seconds` at a time; `owner` is the turn's token."""

    def __init__(self, store: LeaseSupport, name: str, owner: str, seconds: float) -> None:
        self._store = store
        self._name = name
        self._owner = owner
        self._seconds = seconds
        self._asking: asyncio.Future[LeaseAnswer] | None = None
        self._renewing: asyncio.Task[None] | None = None
        self._giving_back: asyncio.Task[None] | None = None

    async def ask(self, waited: float | None) -> LeaseAnswer:
        """Ask once; who has `waited`, in seconds, keeps a place in the queue. Raises StoreUnavailable."""
        milliseconds = None if waited is None else int(1000 * waited)
        question = self._store.acquire(self._name, self._owner, _milliseconds(self._seconds), waited=milliseconds)
        # A question goes on when its asker is cancelled, so that the lease is not given back before it was given.
        self._asking = asyncio.ensure_future(usable(question))
        answer = await asyncio.shield(self._asking)
        if answer.granted:
            self._renewing = asyncio.ensure_future(self._renew())
        return answer

    def listen(self) -> Listening | None:
        """Return how it is heard that asking is worth it again, None where it is not."""
        return self._store.listen(self._owner)

    def give_back(self, settled_for: float = 0) -> asyncio.Task[None]:
        """Return what gives lease and place back, in the background, once however often it is asked for."""
        if self._giving_back is None:
            self._giving_back = asyncio.ensure_future(self._release(_milliseconds(settled_for)))
            _background.add(self._giving_back)
            self._giving_back.add_done_callback(_background.discard)
        return self._giving_back

    async def _renew(self) -> None:
        pause = self._seconds / 3
        while True:
            await asyncio.sleep(pause)
            try:
                lease = await usable(self._store.renew(self._name, self._owner, _milliseconds(self._seconds)))
            except Refusal as error:
                log.warning("the lease of a turn was not renewed and is tried again: %s", error)
                pause = self._seconds / 10
                continue
            if lease is None:
                log.warning("a turn has lost its lease, since it was not renewed in time; another may run beside it")
                return
            pause = self._seconds / 3

    async def _release(self, settled_for: int) -> None:
        """Give it back, trying again for as long as it would last by itself."""
        if self._renewing is not None:
            self._renewing.cancel()
        under_way: list[asyncio.Future[Any]] = [each for each in (self._asking, self._renewing) if each is not None]
        await asyncio.wait(under_way)
        pause, end = SHORTEST_PAUSE, monotonic() + self._seconds
        while True:
            try:
                await usable(self._store.release(self._name, self._owner, settled_for=settled_for))
                return
            except Refusal as error:
                if monotonic() + pause > end:
                    log.warning("the lease of a turn could not be given back and ends by itself: %s", error)
                    return
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)


class Leasing:
    """The leases of a store, as one gate uses them. `seconds` is how long one lasts unless it is renewed."""

    def __init__(self, store: LeaseSupport, namespace: str, seconds: float) -> None:
        self._store = store
        self._namespace = namespace
        self._seconds = seconds
        store.expect_leases()

    def leasehold(self, conversation: str, mode: Mode, owner: str) -> Leasehold:
        """Return what a turn needs to ask for its lease."""
        return Leasehold(self._store, self._name(conversation, mode), owner, self._seconds)

    async def standing(self, conversation: str, mode: Mode, owner: str) -> Lease | None:
        """Return the lease of a turn that runs in whatever process; a call it has made counts as a sign of life."""
        return await usable(self._store.renew(self._name(conversation, mode), owner, _milliseconds(self._seconds)))

    def _name(self, conversation: str, mode: Mode) -> str:
        # A settled conversation is given to nobody, so what waits for whole turns must ask for another name.
        return f"{'first' if mode is Mode.FIRST else 'turn'}/{self._namespace}/{conversation}"


async def usable(answer: Awaitable[T]) -> T:
    """Return the store's answer; what an operator has to mend is logged, and StoreUnavailable to those who asked."""
    try:
        return await answer
    except ConfigurationError as error:
        log.error("the leases of the session store cannot be used: %s", error)
        raise StoreUnavailable("The session store cannot be used; the server's log says why.") from error


_background: set[asyncio.Task[None]] = set()


def _milliseconds(seconds: float) -> int:
    return int(1000 * seconds)
