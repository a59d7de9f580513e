"""All conversations of a process: who may go, who waits, who is too many. It decides at once and waits for nothing.

Several event loops may share it. Idle conversations cost no memory but for the session ids in `established`, of which
there are at most twice `MAX_ESTABLISHED`.
"""

from __future__ import annotations

import itertools
import os
import threading
import weakref
from collections.abc import Callable
from time import monotonic

from sessionguard.bounded import BoundedMap
from sessionguard.store import wall_clock
from sessionguard_turns.busy import SessionBusy
from sessionguard_turns.lane import Holding, Lane, Place
from sessionguard_turns.lengths import TurnLengths
from sessionguard_turns.settings import Mode
from sessionguard_turns.turn import Turn

MAX_ESTABLISHED = 16_384

_turnstiles: weakref.WeakSet[Turnstile] = weakref.WeakSet()


class Turnstile:
    """Lets one turn of a conversation run at a time. `established` are session ids whose first turn has ended well."""

    def __init__(self, *, queue_limit: int, total_limit: int, clock: Callable[[], float] = monotonic) -> None:
        self._queue_limit = queue_limit
        self._total_limit = total_limit
        self._clock = clock
        self._numbers = itertools.count(wall_clock())
        self.lengths = TurnLengths()
        self.established: BoundedMap[str, bool] = BoundedMap(MAX_ESTABLISHED)
        self.reset()
        _turnstiles.add(self)

    def reset(self) -> None:
        """Forget everything; a forked child has none of its parent's requests."""
        self._lock = threading.Lock()
        self._lanes: dict[str, Lane] = {}
        self._waiting = 0

    def __len__(self) -> int:
        """How many conversations have a turn under way."""
        return len(self._lanes)

    def enter(self, conversation: str, mode: Mode, tokens: set[str]) -> Holding | Place | None:
        """Return the turn that may begin, the place to wait in, or None where no turn is needed.

        Raises SessionBusy. Every request leaves a turn once, the last one hands it on; a place is given up once.
        """
        with self._lock:
            now = self._clock()
            brief = mode is Mode.FIRST
            lane = self._lanes.get(conversation)
            if lane is not None and lane.holding is not None and lane.admits(tokens):
                lane.holding.inside += 1
                return lane.holding
            if brief and conversation in self.established:
                return None
            if lane is None:
                lane = self._lanes[conversation] = Lane()
                lane.holding = Holding(Turn(next(self._numbers)), now, brief=brief)
                return lane.holding
            self._demand_room(lane, mode, now)
            place = Place(now, brief=brief)
            lane.queue.append(place)
            self._waiting += 1
            return place

    def is_inside(self, conversation: str, tokens: set[str]) -> bool:
        """Whether the turn under way has one of the tokens."""
        with self._lock:
            lane = self._lanes.get(conversation)
            return lane is not None and lane.admits(tokens)

    def leave(self, conversation: str, holding: Holding) -> bool:
        """One request is out of the turn; returns whether it was the last one, so that the turn must be handed on."""
        with self._lock:
            holding.inside -= 1
            if holding.inside == 0:
                self.lengths.note(self._clock() - holding.since)
            return holding.inside == 0

    def hand_on(self, conversation: str, holding: Holding) -> None:
        """Let the next turn begin, if this one is still under way."""
        with self._lock:
            self._end(conversation, holding)

    def heir(self, conversation: str, *, brief: bool) -> tuple[str, float] | None:
        """Return the token of the turn that comes next, and how long it has waited, if it is of that kind."""
        with self._lock:
            lane = self._lanes.get(conversation)
            if lane is None or not lane.queue or lane.queue[0].brief is not brief:
                return None
            return lane.queue[0].token, self._clock() - lane.queue[0].since

    def give_up(self, conversation: str, place: Place) -> None:
        """Leave the queue; a turn that was given to this place meanwhile goes to the next one."""
        with self._lock:
            lane = self._lanes.get(conversation)
            if lane is not None and lane.leave(place):
                self._waiting -= 1
            elif place.holding is not None:
                self._end(conversation, place.holding)

    def settle(self, conversation: str, holding: Holding) -> None:
        """Remember that the conversation is established, and admit the requests that wait for that alone."""
        with self._lock:
            self.established.put(conversation, True)
            lane = self._lanes.get(conversation)
            if lane is None or lane.holding is not holding:
                return
            self._waiting -= lane.let_brief_ones_in()
            if holding.brief:
                self._end(conversation, holding)

    def position(self, conversation: str, place: Place) -> tuple[int, float]:
        """Return how many are before this place, and for how many seconds the turn under way has run."""
        with self._lock:
            lane = self._lanes[conversation]
            held = 0.0 if lane.holding is None else self._clock() - lane.holding.since
            return lane.queue.index(place) + 1 if place in lane.queue else 0, held

    def retry_after(self, conversation: str) -> int:
        """Return in how many seconds it is worth asking again."""
        with self._lock:
            return self._retry_after(self._lanes.get(conversation), self._clock())

    def _demand_room(self, lane: Lane, mode: Mode, now: float) -> None:
        if mode is Mode.REJECT:
            reason = "This conversation has a turn under way"
        elif len(lane.queue) >= self._queue_limit:
            reason = "Too many requests wait for this conversation"
        elif self._waiting >= self._total_limit:
            reason = "Too many requests wait here"
        else:
            return
        raise SessionBusy(f"{reason}; try again later.", self._retry_after(lane, now))

    def _retry_after(self, lane: Lane | None, now: float) -> int:
        if lane is None or lane.holding is None:
            return self.lengths.retry_after(0, 0)
        return self.lengths.retry_after(now - lane.holding.since, len(lane.queue))

    def _end(self, conversation: str, holding: Holding) -> None:
        lane = self._lanes.get(conversation)
        if lane is None or lane.holding is not holding:
            return
        self._waiting -= lane.hand_on(next(self._numbers), self._clock())
        if lane.is_idle:
            del self._lanes[conversation]


def _reset_all() -> None:
    for turnstile in _turnstiles:
        turnstile.reset()


os.register_at_fork(after_in_child=_reset_all)
