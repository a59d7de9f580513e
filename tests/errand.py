"""Work of any kind, for tests of flights."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from sessionguard.singleflight import Flight, SingleFlight

T = TypeVar("T")


class Errand(Flight[T]):
    """Whatever `work` awaits."""

    def __init__(self, errands: Errands, key: str, work: Callable[[], Awaitable[T]]) -> None:
        super().__init__(errands, key)
        self.work = work


class Errands(SingleFlight[Errand[Any]]):
    """Flights that do what they are told to."""

    def begin(self, flights: Sequence[Errand[Any]]) -> None:
        for flight in flights:
            flight.fly(flight.work())

    def run(self, key: str, work: Callable[[], Awaitable[T]]) -> Errand[T]:
        return self.start(Errand(self, key, work))
