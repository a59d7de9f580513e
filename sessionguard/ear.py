"""Waiting for a lease without asking all the time: what a store says aloud, and those in one event loop who listen."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

LINGER_SECONDS = 10.0
SHORTEST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
"""In seconds, before hearing is tried again."""

Tell = Callable[[str | None], None]

log = logging.getLogger("sessionguard")


class Ear:
    """An ear at a store, open while somebody listens and a moment longer. It belongs to the loop it is first used in.

    `hear` is given whom to tell: None as soon as nothing is missed any more, then the owner that is called, each time.
    It goes on until it is cancelled, and returns or raises when nothing is heard any more. Then it is tried again.
    """

    def __init__(self, hear: Callable[[Tell], Awaitable[None]]) -> None:
        self._hear = hear
        self._listeners: dict[str, Listening] = {}
        self._hearing: asyncio.Task[None] | None = None
        self._rest: asyncio.TimerHandle | None = None
        self._pause = SHORTEST_PAUSE
        self._reported = ""
        self.is_open = False

    def listen(self, owner: str) -> Listening:
        """Hear what is called to `owner`, until that is closed."""
        if self._rest is not None:
            self._rest.cancel()
        listening = self._listeners[owner] = Listening(self, owner)
        if self._hearing is None or self._hearing.done():
            self._hearing = asyncio.ensure_future(self._live())
        return listening

    def leave(self, owner: str) -> None:
        """Listen for this owner no longer; when nobody is left, rest after a while."""
        del self._listeners[owner]
        if not self._listeners and self._hearing is not None:
            self._rest = asyncio.get_running_loop().call_later(LINGER_SECONDS, self._hearing.cancel)

    async def aclose(self) -> None:
        """Hear no more; whoever still listens has to ask."""
        if self._hearing is not None:
            self._hearing.cancel()
            await asyncio.wait([self._hearing])

    async def _live(self) -> None:
        while True:
            try:
                await self._hear(self._told)
            except Exception as error:
                self._report(f"{type(error).__name__}: {error}")
            finally:
                self._deafen()
            if not self._listeners:
                return
            await asyncio.sleep(self._pause * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
            self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def _told(self, owner: str | None) -> None:
        if owner is None:
            self.is_open, self._pause, self._reported = True, SHORTEST_PAUSE, ""
        elif owner in self._listeners:
            self._listeners[owner].call()

    def _deafen(self) -> None:
        self.is_open = False
        for listening in self._listeners.values():
            listening.call()

    def _report(self, reason: str) -> None:
        if reason != self._reported:
            self._reported = reason
            log.warning("the session store is not heard (%s); those who wait for a lease ask again and again", reason)


class Listening:
    """Somebody who waits."""

    def __init__(self, ear: Ear, owner: str) -> None:
        self._ear = ear
        self._owner = owner
        self._called: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def coming(self) -> asyncio.Future[None] | None:
        """Return what is done when it may be worth asking again; None while nothing is heard, and one has to ask.

        Take it before asking: what was called since then is not missed.
        """
        if self._called.done():
            self._called = self._called.get_loop().create_future()
        return self._called if self._ear.is_open else None

    def call(self) -> None:
        if not self._called.done():
            self._called.set_result(None)

    def close(self) -> None:
        """Listen no longer."""
        self._ear.leave(self._owner)
