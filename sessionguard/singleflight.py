"""One piece of work per key at a time, shared by everybody who asks for it meanwhile.

This is economy, not correctness. The work runs in a task of its own, so a caller that is cancelled takes nobody with
it; it is keyed by event loop, so no future is ever awaited in a loop it does not belong to.
"""

from __future__ import annotations

import asyncio
import os
import weakref
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Flight(Generic[T]):
    """Work in the air.

    `seal` says that its effects may have begun: who boards later must check the result before using it. `claim` is
    true for the first who asks, so that exactly one of those aboard can take what there is only one of.
    """

    def __init__(self) -> None:
        self.task: asyncio.Task[T]
        self.sealed = False
        self._claimed = False
        self._aboard: list[asyncio.Future[None]] = []

    def seal(self) -> None:
        self.sealed = True

    def landing(self) -> asyncio.Future[None]:
        """Return a future that is done when this flight has landed, however that went; the caller may cancel it."""
        landed = self.task.get_loop().create_future()
        self._aboard.append(landed)
        return landed

    def land(self) -> None:
        """Let everybody out; a failure that nobody asks for is no news."""
        if not self.task.cancelled():
            self.task.exception()
        for landed in self._aboard:
            if not landed.done():
                landed.set_result(None)

    def claim(self) -> bool:
        first, self._claimed = not self._claimed, True
        return first


class SingleFlight(Generic[T]):
    """The flights in the air; a landed one leaves nothing behind."""

    def __init__(self) -> None:
        _everybodys.add(self)
        self._flights: dict[tuple[asyncio.AbstractEventLoop, str], Flight[T]] = {}

    def __len__(self) -> int:
        return len(self._flights)

    def forget(self) -> None:
        """Drop everything; for a forked child, in which the loops of its parent never turn again."""
        self._flights.clear()

    def board(self, key: str, work: Callable[[Flight[T]], Coroutine[Any, Any, T]]) -> tuple[Flight[T], bool]:
        """Return the flight for `key` in this loop and whether the caller started it, with `work`."""
        place = (asyncio.get_running_loop(), key)
        flight = self._flights.get(place)
        # One whose work is done lands with the next turn of the loop: who comes between would be told what was.
        if flight is not None and not flight.task.done():
            return flight, False
        flight = self._flights[place] = Flight()
        flight.task = place[0].create_task(work(flight))
        flight.task.add_done_callback(lambda _: self._land(place, flight))
        return flight, True

    def _land(self, place: tuple[asyncio.AbstractEventLoop, str], flight: Flight[T]) -> None:
        if self._flights.get(place) is flight:
            del self._flights[place]
        flight.land()


_everybodys: weakref.WeakSet[SingleFlight[Any]] = weakref.WeakSet()


def _forget_all() -> None:
    for flights in _everybodys:
        flights.forget()


os.register_at_fork(after_in_child=_forget_all)
