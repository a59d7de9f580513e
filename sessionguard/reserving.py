"""Giving one conversation its session: one candidate, offered until it is certain what stands."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from sessionguard.attempts import StoreAttempts
from sessionguard.errors import StoreUnavailable
from sessionguard.records import Reservation, ResolutionRequest, SessionRecord

TRIES = 8


class Judge(Protocol):
    """Tells whether the session in a row is alive at some time, in milliseconds since the epoch."""

    def judge(self, request: ResolutionRequest, record: SessionRecord, now: int) -> bool: ...


class Reserving:
    """The offer of `candidate_id` in place of nothing, or of the row that was `observed`.

    `deadline` is in seconds of the running loop's clock.
    """

    __slots__ = ("_attempts", "_candidate_id", "_deadline", "_insists", "_judge", "_observed", "_request")

    def __init__(
        self,
        attempts: StoreAttempts,
        judge: Judge,
        request: ResolutionRequest,
        candidate_id: str,
        observed: SessionRecord | None,
        deadline: float,
    ) -> None:
        self._attempts = attempts
        self._judge = judge
        self._request = request
        self._candidate_id = candidate_id
        self._observed = observed
        self._deadline = deadline
        self._insists = False

    def start(self) -> Awaitable[Reservation]:
        """Offer it, by the shorter way if there is one: nearly always that is all there is to do."""
        offer = self._attempts.begin_reserve(self._request.row_key, self._candidate_id, self._observed)
        return self._insist() if offer is None else offer

    def go_on(self, done: asyncio.Future[Reservation]) -> Callable[[], Awaitable[Reservation]] | None:
        """Return how to insist when an offer has failed, or has lost to a session that is over."""
        if self._insists:
            return None
        error = done.exception()
        if error is None:
            reservation = done.result()
            if self._is_settled(reservation):
                return None
            self._observed = reservation.record
        elif isinstance(error, StoreUnavailable) and done.get_loop().time() >= self._deadline:
            return None
        return self._insist

    async def _insist(self) -> Reservation:
        self._insists = True
        for _ in range(TRIES):
            reservation = await self._attempts.reserve(
                self._request.row_key, self._candidate_id, self._observed, self._deadline
            )
            if self._is_settled(reservation):
                return reservation
            self._observed = reservation.record
        raise contended()

    def _is_settled(self, reservation: Reservation) -> bool:
        return reservation.created or self._judge.judge(self._request, reservation.record, reservation.now)


def contended() -> StoreUnavailable:
    """Return the error for a conversation that is never found twice as it was."""
    return StoreUnavailable("This conversation is being changed by too many others at once; try again.")
