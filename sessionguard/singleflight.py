"""One piece of work per key at a time, shared by everybody who asks for it meanwhile.

This is economy, not correctness. The work belongs to no caller, so one that is cancelled takes nobody with it; it is
keyed by event loop, so no future is ever awaited in a loop it does not belong to.
"""

from __future__ import annotations

import abc
import asyncio
import os
import weakref
from collections.abc import Awaitable, Sequence
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")
F = TypeVar("F", bound="Flight[Any]")


class Flight(Generic[T]):
    """Work for `key`, one of `flights`, in the air or about to be.

    When it has `departed` its effects may have begun: who boards later must check the result before using it. In the
    end it lands, with a result or with an `error`. `claim` is true for the first who asks, so that exactly one of those
    aboard can take what there is only one of.
    """

    departed = False
    error: BaseException | None = None
    _result: T | None = None
    _leg: asyncio.Future[T] | None = None
    _claimed = False

    def __init__(self, flights: SingleFlight[Any], key: str) -> None:
        self.key = key
        self.loop = asyncio.get_running_loop()
        self._flights = flights
        self._aboard: list[asyncio.Future[None]] = []

    @property
    def is_over(self) -> bool:
        """Whether the work is done, and the landing only waits for the next turn of the loop."""
        return self._leg is not None and self._leg.done()

    def board(self) -> asyncio.Future[None]:
        """Return a future that is done when this flight has landed, however that went; the caller may cancel it."""
        landed = self.loop.create_future()
        self._aboard.append(landed)
        return landed

    def fly(self, work: Awaitable[T]) -> None:
        """Land with whatever comes of this."""
        self._leg = asyncio.ensure_future(work)
        self._leg.add_done_callback(self._arrive)

    def land(self, result: T | None, error: BaseException | None = None) -> None:
        """Let everybody out."""
        self._result, self.error = result, error
        self._flights.landed(self)
        for landed in self._aboard:
            if not landed.done():
                landed.set_result(None)

    def brought(self) -> T:
        """Return what the flight has landed with; raises its error."""
        if self.error is not None:
            raise self.error
        return cast("T", self._result)

    def claim(self) -> bool:
        first, self._claimed = not self._claimed, True
        return first

    def _arrive(self, leg: asyncio.Future[T]) -> None:
        error = asyncio.CancelledError() if leg.cancelled() else leg.exception()
        self.land(None if error else leg.result(), error)


class SingleFlight(abc.ABC, Generic[F]):
    """The flights in the air, and those that depart with the next turn of their loop; a landed one leaves nothing."""

    def __init__(self) -> None:
        _everybodys.add(self)
        self._flights: dict[tuple[asyncio.AbstractEventLoop, str], F] = {}
        self._departing: dict[asyncio.AbstractEventLoop, list[F]] = {}

    def __len__(self) -> int:
        return len(self._flights)

    @abc.abstractmethod
    def begin(self, flights: Sequence[F]) -> None:
        """Begin the work of those that depart together; each of them must land in the end."""

    def forget(self) -> None:
        """Drop everything; for a forked child, in which the loops of its parent never turn again."""
        self._flights.clear()
        self._departing.clear()

    def under_way(self, key: str) -> F | None:
        """Return the flight for `key` in this loop."""
        flight = self._flights.get((asyncio.get_running_loop(), key))
        # Who boards one whose work is done would be told what was.
        return None if flight is None or flight.is_over else flight

    def start(self, flight: F) -> F:
        loop = flight.loop
        self._flights[loop, flight.key] = flight
        if loop in self._departing:
            self._departing[loop].append(flight)
        else:
            self._departing[loop] = [flight]
            loop.call_soon(self._depart, loop)
        return flight

    def landed(self, flight: F) -> None:
        place = flight.loop, flight.key
        # Another one may have started since the work of this one was done.
        if self._flights.get(place) is flight:
            del self._flights[place]

    def _depart(self, loop: asyncio.AbstractEventLoop) -> None:
        flights = self._departing.pop(loop, ())
        for flight in flights:
            flight.departed = True
        self.begin(flights)


_everybodys: weakref.WeakSet[SingleFlight[Any]] = weakref.WeakSet()


def _forget_all() -> None:
    for flights in _everybodys:
        flights.forget()


os.register_at_fork(after_in_child=_forget_all)
