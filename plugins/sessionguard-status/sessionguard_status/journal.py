"""What this process has seen within the last hour, minute by minute; what is older is dropped, so it stays small."""

from __future__ import annotations

import statistics
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

MINUTES = 60
MOST_WAITS = 1000


@dataclass
class Minute:
    """What was seen from `start` on, in minutes since the epoch."""

    start: int
    origins: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    calls: Counter[tuple[str, str]] = field(default_factory=Counter)


@dataclass(frozen=True)
class Waits:
    """Requests that a turn gate has held: how many of each outcome, and for how many seconds."""

    outcomes: Counter[str]
    median: float
    longest: float


class Journal:
    """Counts by the minute; `clock` gives seconds since the epoch."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.started = clock()
        self._minutes: deque[Minute] = deque(maxlen=MINUTES)
        self._waits: deque[tuple[float, str, float]] = deque(maxlen=MOST_WAITS)

    def resolved(self, origin: str) -> None:
        self._now().origins[origin] += 1

    def refused(self, code: str) -> None:
        self._now().refusals[code] += 1

    def called(self, verb: str, outcome: str) -> None:
        self._now().calls[verb, outcome] += 1

    def waited(self, outcome: str, seconds: float) -> None:
        self._waits.append((self._clock(), outcome, seconds))

    def minutes(self) -> Sequence[Minute]:
        """Return the last hour, oldest first, with a place for every minute of it."""
        this = int(self._clock() // 60)
        seen = {minute.start: minute for minute in self._minutes}
        return [seen.get(start) or Minute(start) for start in range(this - MINUTES + 1, this + 1)]

    def waits(self) -> Waits:
        """Return those of the last hour; of very many only the latest."""
        since = self._clock() - 60 * MINUTES
        recent = [(outcome, seconds) for when, outcome, seconds in self._waits if when >= since]
        seconds = [each for _, each in recent] or [0.0]
        return Waits(Counter(outcome for outcome, _ in recent), statistics.median(seconds), max(seconds))

    def _now(self) -> Minute:
        this = int(self._clock() // 60)
        if not self._minutes or self._minutes[-1].start != this:
            self._minutes.append(Minute(this))
        return self._minutes[-1]
