"""The lease behind a turn: asked for until it is granted, renewed while the turn runs, given back once.

It keeps turns apart that are in different processes. Whoever has it and dies loses it by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from sessionguard import Lease, LeaseAnswer, LeaseSupport, Refusal
from sessionguard_turns.settings import Mode

TRIES = 5
PAUSE = 0.2

log = logging.getLogger("sessionguard")


class Leasehold:
    """One turn's lease of `name`, for `seconds` at a time; `owner` is the turn's token."""

    def __init__(self, store: LeaseSupport, name: str, owner: str, seconds: float) -> None:
        self._store = store
        self._name = name
        self._owner = owner
        self._seconds = seconds
        self._renewing: asyncio.Task[None] | None = None
        self._giving_back: asyncio.Task[None] | None = None

    async def ask(self, waited: float | None) -> LeaseAnswer:
        """Ask once; who has `waited`, in seconds, keeps a place in the queue. Raises StoreUnavailable."""
        milliseconds = None if waited is None else int(1000 * waited)
        answer = await self._store.acquire(self._name, self._owner, _milliseconds(self._seconds), waited=milliseconds)
        if answer.granted:
            self._renewing = asyncio.ensure_future(self._renew())
        return answer

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
                lease = await self._store.renew(self._name, self._owner, _milliseconds(self._seconds))
            except Refusal as error:
                log.warning("the lease of a turn was not renewed and is tried again: %s", error)
                pause = self._seconds / 10
                continue
            if lease is None:
                log.warning("a turn has lost its lease, since it was not renewed in time; another may run beside it")
                return
            pause = self._seconds / 3

    async def _release(self, settled_for: int) -> None:
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.wait([self._renewing])
        for _ in range(TRIES):
            with contextlib.suppress(Refusal):
                await self._store.release(self._name, self._owner, settled_for=settled_for)
                return
            await asyncio.sleep(PAUSE)
        log.warning("the lease of a turn could not be given back; it ends by itself in %g s", self._seconds)


class Leasing:
    """The leases of a store, as one gate uses them. `seconds` is how long one lasts unless it is renewed."""

    def __init__(self, store: LeaseSupport, namespace: str, seconds: float) -> None:
        self._store = store
        self._namespace = namespace
        self._seconds = seconds

    def leasehold(self, conversation: str, mode: Mode, owner: str) -> Leasehold:
        """Return what a turn needs to ask for its lease."""
        return Leasehold(self._store, self._name(conversation, mode), owner, self._seconds)

    async def standing(self, conversation: str, mode: Mode, owner: str) -> Lease | None:
        """Return the lease of a turn that runs in whatever process; a call it has made counts as a sign of life."""
        return await self._store.renew(self._name(conversation, mode), owner, _milliseconds(self._seconds))

    def _name(self, conversation: str, mode: Mode) -> str:
        # A settled conversation is given to nobody, so what waits for whole turns must ask for another name.
        return f"{'first' if mode is Mode.FIRST else 'turn'}/{self._namespace}/{conversation}"


_background: set[asyncio.Task[None]] = set()


def _milliseconds(seconds: float) -> int:
    return int(1000 * seconds)
