"""The law: same session key, same session id. This file is the table of section 1 of the design, and nothing else.

It knows a store contract and a clock; it has never heard of ASGI, plugins or any particular store.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from sessionguard.attempts import StoreAttempts
from sessionguard.deadlines import limit
from sessionguard.errors import StoreUnavailable
from sessionguard.freshness import ResetPolicy
from sessionguard.liveness import LONG_IDLE, Liveness
from sessionguard.loops import running_loop
from sessionguard.minting import random_session_id
from sessionguard.records import Origin, Reservation, Resolution, ResolutionRequest, SessionRecord
from sessionguard.reserving import TRIES, Reservations, Reserving, contended
from sessionguard.touches import MILLISECOND, PendingTouches

MOST_KNOWN = 8192
MUST_BE_TAKEN_OVER = (asyncio.CancelledError, StoreUnavailable)


class Mint(Protocol):
    """Makes an id for a conversation, other than the one it replaces."""

    def __call__(self, session_key: str, replacing: str | None) -> str: ...


@dataclass(frozen=True, slots=True)
class Established:
    """The resolution of an established conversation, to be given again until it is time to look at the row anew.

    `until` is by the clock of the touches, which a request has to read anyway.
    """

    row_key: str
    session_id: str
    record: SessionRecord
    resolution: Resolution
    until: int


class SessionResolver:
    """Turns requests into resolutions. `reserve_timeout` is in seconds, `touch_interval` in milliseconds.

    `reads_first` is whether a row that is not remembered is read before an id is minted for it.
    """

    def __init__(
        self,
        attempts: StoreAttempts,
        touches: PendingTouches,
        *,
        reset: ResetPolicy,
        mint: Mint,
        clock: Callable[[], int],
        reserve_timeout: float,
        touch_interval: int,
        reads_first: bool = True,
        fail_open: bool = False,
    ) -> None:
        self._attempts = attempts
        self._recall = attempts.recall
        self._touches = touches
        self._now = touches.now
        self._never_resets = reset.never_resets
        self._liveness = Liveness(touches, reset, clock, touch_interval)
        self._mint = mint
        self._clock = clock
        self._timeout = reserve_timeout
        self._reads_first = reads_first
        self._fail_open = fail_open
        self._reservations = Reservations(attempts, self._liveness)

    def recall(self, request: ResolutionRequest) -> Established | None:
        """Return the session of an established conversation if that needs no waiting; None if `resolve` must look.

        The row was read some time ago and may have been used since, so nothing is concluded from its age: what looks
        stale, or in need of a sign of life now, is left to `resolve`.
        """
        record = self._recall(request.row_key)
        if record is None or request.explicit_session_id is not None:
            return None
        now = self._clock()
        if not self._liveness.is_settled(request, record, now):
            return None
        seen, until = self._now(), 0
        if not request.internal:
            self._touches.note(request.row_key, record.session_id, seen)
            if self._never_resets:
                until = seen + (record.updated_at + LONG_IDLE - now) * MILLISECOND
        resolution = _resolution(request.session_key, record, Origin.EXISTING, request.internal)
        return Established(request.row_key, record.session_id, record, resolution, until)

    def still_holds(self, established: Established) -> bool:
        """Return whether `recall` would say the same again, and note the use of the session if so."""
        row_key, now = established.row_key, self._now()
        if now >= established.until or self._recall(row_key) is not established.record:
            return False
        self._touches.note(row_key, established.session_id, now)
        return True

    async def resolve(self, request: ResolutionRequest) -> Resolution:
        """Return the one session of this conversation; raises a Refusal when there is no certain answer."""
        if request.explicit_session_id is not None:
            return Resolution(
                request.session_key or None, request.explicit_session_id, Origin.EXPLICIT, internal=request.internal
            )
        deadline = self._deadline()
        try:
            if request.internal:
                return await self._resolve_internal(request, deadline)
            reads = self._reads_first
            for _ in range(TRIES):
                record = self._recall(request.row_key)
                if self._must_be_read(request, record, reads):
                    record = await self._attempts.get(request.row_key, deadline)
                if record is not None and (
                    self._liveness.note(request, record)
                    or await self._liveness.is_kept_up(request, record, self._attempts.now, deadline)
                ):
                    return _existing(request.session_key, record.session_id, record.session_started_at)
                resolution = await self._join(request, record, deadline)
                if resolution is not None:
                    return resolution
                reads = True
            raise contended()
        except StoreUnavailable:
            if not self._fail_open:
                raise
            return Resolution(request.session_key, random_session_id(), Origin.DEGRADED, internal=request.internal)

    async def rebind(self, session_key: str, row_key: str) -> Resolution:
        """Give the conversation a new session, whatever it holds now; there is never a moment without one."""
        deadline = self._deadline()
        record = await self._attempts.get(row_key, deadline)
        for _ in range(TRIES):
            candidate = self._mint(session_key, record.session_id if record else None)
            reservation = await self._attempts.reserve(row_key, candidate, record, deadline)
            record = reservation.record
            if reservation.created:
                return _resolution(session_key, record, Origin.NEW)
        raise contended()

    def _deadline(self) -> float:
        return running_loop().time() + self._timeout

    async def _resolve_internal(self, request: ResolutionRequest, deadline: float) -> Resolution:
        record = await self._attempts.get(request.row_key, deadline)
        if record is not None and await self._liveness.is_fresh(request, record, self._attempts.now, deadline):
            return _resolution(request.session_key, record, Origin.EXISTING, internal=True)
        return Resolution(request.session_key, random_session_id(), Origin.EPHEMERAL, internal=True)

    def _must_be_read(self, request: ResolutionRequest, remembered: SessionRecord | None, reads: bool) -> bool:
        """Whether the store may know more than is `remembered`; of what is not, only where one `reads` at all."""
        return reads if remembered is None else not self._liveness.is_settled(request, remembered, self._clock())

    async def _join(
        self, request: ResolutionRequest, observed: SessionRecord | None, deadline: float
    ) -> Resolution | None:
        """Share the reservation that is under way, or start it; None means that the row must be looked at again."""
        flight = self._reservations.under_way(request.row_key)
        leads = flight is None
        if flight is None:
            flight = self._start(request, observed, deadline)
        late = flight.departed
        landing = flight.board()
        watch = limit(landing, deadline)
        try:
            await landing
        finally:
            watch.lift(landing)
        if late or (not leads and isinstance(flight.error, MUST_BE_TAKEN_OVER)):
            return None
        reservation = flight.brought()
        if reservation.created:
            return _resolution(request.session_key, reservation.record, Origin.NEW if flight.claim() else Origin.JOINED)
        await self._liveness.keep_up(request, reservation.record)
        unseen = observed is None and not self._reads_first
        origin = Origin.EXISTING if unseen and self._came_later(reservation, deadline) else Origin.JOINED
        return _resolution(request.session_key, reservation.record, origin)

    def _start(self, request: ResolutionRequest, observed: SessionRecord | None, deadline: float) -> Reserving:
        candidate_id = self._mint(request.session_key, observed.session_id if observed else None)
        return self._reservations.start(Reserving(self._reservations, request, candidate_id, observed, deadline))

    def _came_later(self, reservation: Reservation, deadline: float) -> bool:
        """Whether the request that has this deadline arrived when the session that stands had already begun."""
        waited = asyncio.get_running_loop().time() - (deadline - self._timeout)
        return reservation.now - reservation.record.session_started_at > 1000 * waited + 1


def _resolution(session_key: str, record: SessionRecord, origin: Origin, internal: bool = False) -> Resolution:
    return Resolution(session_key, record.session_id, origin, record.session_started_at, internal)


@functools.lru_cache(MOST_KNOWN)
def _existing(session_key: str, session_id: str, started_at: int) -> Resolution:
    """Return the same object every time, so that one look at it tells that nothing has changed."""
    return Resolution(session_key, session_id, Origin.EXISTING, started_at)
