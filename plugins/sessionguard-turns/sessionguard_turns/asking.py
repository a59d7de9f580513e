"""Asking for a lease until there is no need: when it is called out, when it runs out, or again and again."""

from __future__ import annotations

import asyncio
import random
from time import monotonic

from sessionguard import LeaseAnswer, StoreUnavailable
from sessionguard_turns.leasehold import Leasehold
from sessionguard_turns.readahead import ReadAhead
from sessionguard_turns.settings import Mode
from sessionguard_turns.waiting import LONG_WAIT, complain_of, pause

SHORTEST_PAUSE, LONGEST_PAUSE = 0.005, 0.1
"""In seconds, between two questions where nothing is heard."""
LONGEST_SILENCE = 1.0
"""In seconds, between two questions where it is called out when it is worth asking: the place in the queue is kept."""
OUTAGE, OUTAGE_WAITING = 2.0, 10.0
"""For how many seconds the store may have failed, for somebody who has just come and for one who is waiting."""


class Asking:
    """One request that wants the lease of its turn. `since` and `deadline` are by the monotonic clock, in seconds."""

    def __init__(self, leasehold: Leasehold, mode: Mode, ahead: ReadAhead, since: float, deadline: float) -> None:
        self._leasehold = leasehold
        self._mode = mode
        self._ahead = ahead
        self._since = since
        self._deadline = deadline
        self._patience = OUTAGE if monotonic() - since < OUTAGE else OUTAGE_WAITING
        self._pause = SHORTEST_PAUSE
        self._has_complained = False

    async def last_answer(self, conversation: str) -> LeaseAnswer:
        """Return the answer that ends this: the lease is granted, or not needed, or the time for it is over.

        Raises StoreUnavailable and ClientLeft. A store that goes away is waited for, longer by those who wait anyway.
        """
        listening = None
        try:
            while True:
                coming = None if listening is None else listening.coming()
                answer = await self._answer()
                if answer.granted or answer.settled or self._mode is Mode.REJECT or monotonic() >= self._deadline:
                    return answer
                self._patience = OUTAGE_WAITING
                self._complain(conversation, answer)
                listening = listening or self._leasehold.listen()
                await self._wait(answer, coming)
        finally:
            if listening is not None:
                listening.close()

    async def _answer(self) -> LeaseAnswer:
        while True:
            try:
                return await self._leasehold.ask(None if self._mode is Mode.REJECT else monotonic() - self._since)
            except StoreUnavailable:
                if self._leasehold.outage() >= self._patience or monotonic() >= self._deadline:
                    raise
            await pause(self._ahead, self._next_pause())

    async def _wait(self, answer: LeaseAnswer, coming: asyncio.Future[None] | None) -> None:
        seconds = self._next_pause() if coming is None else _silence(answer)
        await pause(self._ahead, min(seconds, self._deadline - monotonic()), coming)

    def _next_pause(self) -> float:
        seconds = self._pause
        self._pause = min(2 * seconds, LONGEST_PAUSE)
        return _jittered(seconds)

    def _complain(self, conversation: str, answer: LeaseAnswer) -> None:
        waited = monotonic() - self._since
        if waited > LONG_WAIT and not self._has_complained:
            self._has_complained = True
            complain_of(conversation, answer.ahead, waited, age_of(answer))


def age_of(answer: LeaseAnswer) -> float:
    """Return for how many seconds the turn under way has been running."""
    return 0.0 if answer.lease is None else (answer.now - answer.lease.granted_at) / 1000


def _silence(answer: LeaseAnswer) -> float:
    """Return when to ask without having heard anything; a lease that runs out is not called out by anybody."""
    rest = LONGEST_SILENCE if answer.lease is None else (answer.lease.expires_at - answer.now) / 1000
    return _jittered(SHORTEST_PAUSE) + min(rest, LONGEST_SILENCE * random.uniform(0.8, 1))  # noqa: S311 - jitter


def _jittered(seconds: float) -> float:
    return seconds * random.uniform(0.5, 1.5)  # noqa: S311 - jitter
