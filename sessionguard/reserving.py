"""Giving one conversation its session: one candidate, offered until it is certain what stands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sessionguard.attempts import StoreAttempts
from sessionguard.errors import StoreUnavailable
from sessionguard.records import Reservation, ResolutionRequest, SessionRecord
from sessionguard.singleflight import Flight, SingleFlight

TRIES = 8


class Judge(Protocol):
    """Tells whether the session in a row is alive at some time, in milliseconds since the epoch."""

    def judge(self, request: ResolutionRequest, record: SessionRecord, now: int) -> bool: ...


class Reserving(Flight[Reservation]):
    """The offer of `candidate_id` in place of nothing, or of the row that was last seen: `replacing`.

    `deadline` is in seconds of the running loop's clock.
    """

    _flights: Reservations
    is_wanted = True
    """Whoever asked may have left; who comes next will want it."""

    def __init__(
        self,
        reservations: Reservations,
        request: ResolutionRequest,
        candidate_id: str,
        replacing: SessionRecord | None,
        deadline: float,
    ) -> None:
        super().__init__(reservations, request.row_key)
        self.candidate_id = candidate_id
        self.replacing = replacing
        self._request = request
        self._deadline = deadline

    def settle(self, outcome: Reservation | Exception) -> None:
        """Land, or insist where the offer has failed, or has lost to a session that is over."""
        if isinstance(outcome, Reservation):
            if self._is_settled(outcome):
                self.land(outcome)
                return
            self.replacing = outcome.record
        elif isinstance(outcome, StoreUnavailable) and self.loop.time() >= self._deadline:
            self.land(None, outcome)
            return
        self.insist()

    def insist(self) -> None:
        self.fly(self._insist())

    async def _insist(self) -> Reservation:
        reserve = self._flights.attempts.reserve
        for _ in range(TRIES):
            reservation = await reserve(self.key, self.candidate_id, self.replacing, self._deadline)
            if self._is_settled(reservation):
                return reservation
            self.replacing = reservation.record
        raise contended()

    def _is_settled(self, reservation: Reservation) -> bool:
        return reservation.created or self._flights.judge(self._request, reservation.record, reservation.now)


class Reservations(SingleFlight[Reserving]):
    """Those that one guard has under way."""

    def __init__(self, attempts: StoreAttempts, judge: Judge) -> None:
        super().__init__()
        self.attempts = attempts
        self.judge = judge.judge

    def begin(self, flights: Sequence[Reserving]) -> None:
        """Offer together what departs together, where there is a way to: nearly always that is all there is to do."""
        try:
            has_begun = self.attempts.begin_reserve(flights)
        except Exception:
            # The next attempt will say what it is, if it is still there.
            has_begun = False
        if not has_begun:
            for flight in flights:
                flight.insist()


def contended() -> StoreUnavailable:
    """Return the error for a conversation that is never found twice as it was."""
    return StoreUnavailable("This conversation is being changed by too many others at once; try again.")
