"""Which message on a wire meets which fault: counted by direction, from the moment the fault was asked for."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from typing import Literal

What = Literal["drop", "delay", "half-close", "reset"]
Direction = Literal["request", "reply"]


@dataclass(frozen=True)
class WireFault:
    """What happens to the message number `at` in a direction, and, if it is `lasting`, to every one behind it.

    `drop`: it vanishes, and so does everything behind it on its connection, which stays open: a stream has no holes.
    `delay`: it arrives `seconds` later, and everything behind it no sooner.
    `half-close`: it vanishes, and its receiver is told that nothing more will come; the other direction goes on.
    `reset`: it vanishes, and both ends find their connection reset.
    """

    what: What
    direction: Direction
    at: int = 1
    lasting: bool = False
    seconds: float = 0.0


class WirePlan:
    """Counts the messages of all connections; may be asked and changed from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._fault: WireFault | None = None
        self._counts: Counter[Direction] = Counter()

    def replace(self, fault: WireFault | None) -> None:
        """Plan this fault alone, or none; messages are counted from here on."""
        with self._lock:
            self._fault = fault
            self._counts.clear()

    def count(self, direction: Direction) -> int:
        """Return how many messages there were since the plan was made."""
        with self._lock:
            return self._counts[direction]

    def next(self, direction: Direction) -> WireFault | None:
        """Count a message; returns what happens to it."""
        with self._lock:
            self._counts[direction] += 1
            fault, number = self._fault, self._counts[direction]
        if fault is None or fault.direction != direction:
            return None
        return fault if number == fault.at or (fault.lasting and number > fault.at) else None
