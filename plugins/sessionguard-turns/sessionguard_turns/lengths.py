"""How long turns take, learnt from those that have ended, and what that means for somebody who has to come again."""

from __future__ import annotations

import math

FIRST_GUESS = 2.0
WEIGHT = 0.2
SOONEST, LATEST = 1, 30
"""In seconds. The openai clients ignore a `Retry-After` of more than a minute."""


class TurnLengths:
    """A moving average, in seconds."""

    def __init__(self) -> None:
        self.typical = FIRST_GUESS

    def note(self, seconds: float) -> None:
        """Learn from a turn that has ended."""
        self.typical += WEIGHT * (seconds - self.typical)

    def retry_after(self, age: float, ahead: int) -> int:
        """Return when the turn that has run for `age` and the `ahead` behind it are likely to be over, within bounds.

        A turn that has outlived the typical one is given as much time again.
        """
        rest = self.typical - age if age < self.typical else self.typical
        return min(LATEST, max(SOONEST, math.ceil(rest + ahead * self.typical)))
