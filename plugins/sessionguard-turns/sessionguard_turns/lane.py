"""One conversation's requests: the turn that runs, and the places of those that wait for it, first come, first served.

Every call is made under the lock of the `Turnstile`; nothing here waits.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque

from sessionguard_turns.leasehold import Leasehold
from sessionguard_turns.turn import Turn, new_token


class Holding:
    """A turn that runs, and how many requests are inside it: the one it was given to, and those it has made itself.

    `brief` is whether it is over for the others when its request has brought the conversation into being. `since` is
    by the monotonic clock, in seconds.
    """

    __slots__ = ("brief", "inside", "leasehold", "since", "turn")

    def __init__(self, turn: Turn, since: float, *, brief: bool) -> None:
        self.turn = turn
        self.since = since
        self.brief = brief
        self.inside = 1
        self.leasehold: Leasehold | None = None


class Place:
    """A place in the queue. `admitted` is done when its turn has come; `holding` is that turn, whose token is known.

    It may be admitted without one, when it waited for no more than the conversation to be there.
    """

    __slots__ = ("_loop", "admitted", "brief", "holding", "since", "token")

    def __init__(self, since: float, *, brief: bool) -> None:
        self._loop = asyncio.get_running_loop()
        self.admitted: asyncio.Future[None] = self._loop.create_future()
        self.brief = brief
        self.since = since
        self.token = new_token()
        self.holding: Holding | None = None

    def admit(self) -> bool:
        """Wake whoever has this place; returns whether there is still an event loop to do so."""
        try:
            self._loop.call_soon_threadsafe(self._wake)
        except RuntimeError:
            return False
        return True

    def _wake(self) -> None:
        if not self.admitted.done():
            self.admitted.set_result(None)


class Lane:
    """The turn under way, if any, and the queue behind it."""

    __slots__ = ("holding", "queue")

    def __init__(self) -> None:
        self.holding: Holding | None = None
        self.queue: deque[Place] = deque()

    def hand_on(self, number: int, now: float) -> int:
        """Give the first in the queue its turn; returns how many have left it, those of ended event loops included."""
        self.holding = None
        left = 0
        while self.queue and self.holding is None:
            place = self.queue.popleft()
            left += 1
            holding = place.holding = Holding(Turn(number, place.token), now, brief=place.brief)
            if place.admit():
                self.holding = holding
        return left

    def let_brief_ones_in(self) -> int:
        """Admit, without a turn, all who waited only for the conversation to be there; returns how many."""
        brief = [place for place in self.queue if place.brief]
        self.queue = deque(place for place in self.queue if not place.brief)
        for place in brief:
            place.admit()
        return len(brief)

    def leave(self, place: Place) -> bool:
        """Give the place up; returns whether it was still in the queue."""
        with contextlib.suppress(ValueError):
            self.queue.remove(place)
            return True
        return False

    def admits(self, tokens: set[str]) -> bool:
        """Whether one of the tokens is that of the turn under way, and somebody is still inside."""
        return self.holding is not None and self.holding.inside > 0 and self.holding.turn.token in tokens

    @property
    def is_idle(self) -> bool:
        return self.holding is None and not self.queue
