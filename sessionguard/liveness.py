"""Whether the session in a row is still the conversation, by the rule, by the row and by the touches not yet written.

Hosts disagree about the time: this one's clock may call a session alive, and never dead without the store's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sessionguard.freshness import ResetPolicy
from sessionguard.records import ResolutionRequest, SessionRecord
from sessionguard.touches import PendingTouches

LONG_IDLE = 3_600_000

StoreClock = Callable[[float], Awaitable[int]]


class Liveness:
    """Judges rows by `reset`, and keeps the sessions in them alive. `touch_interval` is in milliseconds."""

    def __init__(
        self, touches: PendingTouches, reset: ResetPolicy, clock: Callable[[], int], touch_interval: int
    ) -> None:
        self._touches = touches
        self._reset = reset
        self._never_resets = reset.never_resets
        self._clock = clock
        self._touch_interval = touch_interval

    async def is_fresh(
        self, request: ResolutionRequest, record: SessionRecord, store_clock: StoreClock, deadline: float
    ) -> bool:
        """Judge by our own clock, and before calling a row stale, by the store's."""
        return self.judge(request, record, self._clock()) or self.judge(request, record, await store_clock(deadline))

    def judge(self, request: ResolutionRequest, record: SessionRecord, now: int) -> bool:
        """Whether the session is alive at this time."""
        if self._never_resets:
            return True
        idle = self._touches.idle(request.row_key, record.session_id)
        last_used = record.updated_at if idle is None else max(record.updated_at, now - idle)
        return self._reset.rule_for(request.session_key).is_fresh(record, last_used, now)

    def is_settled(self, request: ResolutionRequest, record: SessionRecord, now: int) -> bool:
        """Whether a row that was read some time ago is certainly alive, and in no need of a sign of life now."""
        if self._never_resets:
            return now - record.updated_at < LONG_IDLE
        return not self._is_endangered(request, record, now) and self.judge(request, record, now)

    def note(self, request: ResolutionRequest, record: SessionRecord) -> bool:
        """Note that the session is in use and return True, if it is certainly alive and that is all it needs."""
        is_settled = self.is_settled(request, record, self._clock())
        if is_settled:
            self._touches.note(request.row_key, record.session_id, self._touches.now())
        return is_settled

    async def is_kept_up(
        self, request: ResolutionRequest, record: SessionRecord, store_clock: StoreClock, deadline: float
    ) -> bool:
        """Judge as `is_fresh` does, and keep up what is."""
        is_fresh = await self.is_fresh(request, record, store_clock, deadline)
        if is_fresh:
            await self.keep_up(request, record)
        return is_fresh

    async def keep_up(self, request: ResolutionRequest, record: SessionRecord) -> None:
        """Note that the session is in use; write it now where waiting could cost the conversation its row."""
        if self._is_endangered(request, record, self._clock()):
            await self._touches.write(request.row_key, record.session_id)
        else:
            self._touches.note(request.row_key, record.session_id, self._touches.now())

    def _is_endangered(self, request: ResolutionRequest, record: SessionRecord, now: int) -> bool:
        """Whether the row could be lost before the touches that gather are written."""
        unused = now - record.updated_at
        limit = None if self._never_resets else self._reset.rule_for(request.session_key).idle
        margin = 0 if limit is None else min(limit // 2, self._touch_interval * 3 // 2)
        return unused >= LONG_IDLE or (limit is not None and limit - unused <= margin)
