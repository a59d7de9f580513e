"""Numbers from rounds: medians, ratios, and how sure one can be of them."""

from __future__ import annotations

import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """How much of everything is done: the real thing, or just enough to see that it works.

    Everybody's process is started anew for each of the `lives`, which have so many `rounds`: where in memory things
    come to lie makes a process differ from the next one by some hundredths, however often it is asked. Turns are short,
    some hundredths of a second, because a shared machine is another one from second to second.
    """

    lives: int
    rounds: int
    calls: int
    requests: int
    resets: int
    seconds: float
    keys: int
    reservations: int

    @classmethod
    def full(cls) -> Scale:
        return cls(
            lives=6,
            rounds=24,
            calls=500,
            requests=1000,
            resets=20_000,
            seconds=10.0,
            keys=1_000_000,
            reservations=2000,
        )

    @classmethod
    def smoke(cls) -> Scale:
        return cls(lives=1, rounds=2, calls=50, requests=200, resets=50, seconds=0.3, keys=3000, reservations=50)


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def interval(ratios: Sequence[float]) -> tuple[float, float, float]:
    """Return the median of the ratios of all rounds and its 95 % confidence interval, by bootstrap."""
    chance = random.Random(0)
    medians = sorted(statistics.median(chance.choices(ratios, k=len(ratios))) for _ in range(2000))
    return statistics.median(ratios), medians[50], medians[1949]
