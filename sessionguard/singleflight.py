"""One piece of work per key at a time, shared by everybody who asks for it meanwhile.

This is economy, not correctness. The work belongs to no caller, so one that is cancelled takes nobody with it; it is
keyed by event loop, so no future is ever awaited in a loop it does not belong to.
"""

from __future__ import annotations

import asyncio
import functools
import os
import weakref
from collections.abc import Awaitable, Callable
from typing import Any, Generic, Protocol, TypeVar

T = TypeVar("T")


class Work(Protocol[T]):
    """What a flight is for."""

    def start(self) -> Awaitable[T]:
        """Begin; what is returned is awaited in the loop that runs."""

    def go_on(self, done: asyncio.Future[T]) -> Callable[[], Awaitable[T]] | None:
        """Return what is left to begin when this is done, None if it is what the flight was for."""


class Flight(Generic[T]):
    """Work in the air, or about to be: those who ask in the same turn of the loop depart together.

    When it has `departed` its effects may have begun: who boards later must check the result before using it. `leg` is
    what it does since then. `claim` is true for the first who asks, so that exactly one of those aboard can take what
    there is only one of.
    """

    __slots__ = ("_aboard", "_claimed", "departed", "leg", "place", "work")

    def __init__(self, place: tuple[asyncio.AbstractEventLoop, str], work: Work[T]) -> None:
        self.place = place
        self.work = work
        self.leg: asyncio.Future[T]
        self.departed = False
        self._claimed = False
        self._aboard: list[asyncio.Future[None]] = []

    def landing(self) -> asyncio.Future[None]:
        """Return a future that is done when this flight has landed, however that went; the caller may cancel it."""
        landed = self.place[0].create_future()
        self._aboard.append(landed)
        return landed

    def land(self) -> None:
        """Let everybody out; a failure that nobody asks for is no news."""
        if not self.leg.cancelled():
            self.leg.exception()
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
        self._departing: dict[asyncio.AbstractEventLoop, list[Flight[T]]] = {}

    def __len__(self) -> int:
        return len(self._flights)

    def forget(self) -> None:
        """Drop everything; for a forked child, in which the loops of its parent never turn again."""
        self._flights.clear()
        self._departing.clear()

    def under_way(self, key: str) -> Flight[T] | None:
        """Return the flight for `key` in this loop."""
        flight = self._flights.get((asyncio.get_running_loop(), key))
        # One whose work is done lands with the next turn of the loop: who comes between would be told what was.
        return None if flight is None or (flight.departed and flight.leg.done()) else flight

    def start(self, key: str, work: Work[T]) -> Flight[T]:
        """Return a flight for `key` that departs with the next turn of the loop."""
        loop = asyncio.get_running_loop()
        flight = self._flights[loop, key] = Flight((loop, key), work)
        if loop in self._departing:
            self._departing[loop].append(flight)
        else:
            self._departing[loop] = [flight]
            loop.call_soon(self._depart, loop)
        return flight

    def _depart(self, loop: asyncio.AbstractEventLoop) -> None:
        for flight in self._departing.pop(loop, ()):
            flight.departed = True
            self._fly(flight, flight.work.start)

    def _fly(self, flight: Flight[T], begin: Callable[[], Awaitable[T]]) -> None:
        try:
            flight.leg = asyncio.ensure_future(begin())
        except Exception as error:
            flight.leg = flight.place[0].create_future()
            flight.leg.set_exception(error)
        flight.leg.add_done_callback(functools.partial(self._arrive, flight))

    def _arrive(self, flight: Flight[T], leg: asyncio.Future[T]) -> None:
        onward = None if leg.cancelled() else flight.work.go_on(leg)
        if onward is not None:
            self._fly(flight, onward)
            return
        if self._flights.get(flight.place) is flight:
            del self._flights[flight.place]
        flight.land()


_everybodys: weakref.WeakSet[SingleFlight[Any]] = weakref.WeakSet()


def _forget_all() -> None:
    for flights in _everybodys:
        flights.forget()


os.register_at_fork(after_in_child=_forget_all)
