"""Signs of life, gathered in memory and written in batches.

Every real request of an established conversation is noted here at the price of one dictionary entry; once per
interval what has gathered goes to the store. A crash loses at most that interval.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import time
import weakref
from collections.abc import Awaitable, Callable, Sequence

from sessionguard.errors import SessionGuardError, StoreUnavailable
from sessionguard.records import Touch

BATCH = 500
MILLISECOND = 1_000_000

log = logging.getLogger("sessionguard")


class PendingTouches:
    """The touches of one guard that are not in its store yet. `interval` is in milliseconds.

    Ages are measured by `now`, in nanoseconds from anywhere, because nobody sets that clock back and because every
    request reads it. It belongs to no event loop: whichever loop notes the first touch sets the alarm, and any loop
    may flush.
    """

    def __init__(
        self,
        touch: Callable[[Sequence[Touch]], Awaitable[None]],
        interval: int,
        now: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.now = now
        self._touch = touch
        self._interval = interval
        self._pending: dict[str, tuple[str, int]] = {}
        self._alarm: asyncio.AbstractEventLoop | None = None
        self._flushes: set[asyncio.Task[None]] = set()
        _everybodys.add(self)

    def __len__(self) -> int:
        return len(self._pending)

    def forget(self) -> None:
        """Drop everything; for a forked child, whose parent still has it all and will write it."""
        self._pending.clear()
        self._alarm = None
        atexit.unregister(self._save)

    def idle(self, key: str, session_id: str) -> int | None:
        """Return for how many milliseconds the session has not been used, None if nothing is pending for it."""
        noted_id, seen = self._pending.get(key, ("", 0))
        return (self.now() - seen) // MILLISECOND if noted_id == session_id else None

    def note(self, key: str, session_id: str, now: int) -> None:
        """Remember that `session_id` was used `now`, by the clock of that name; it is written within one interval."""
        self._pending[key] = (session_id, now)
        if self._alarm is None or self._alarm.is_closed():
            self._set_alarm()

    async def write(self, key: str, session_id: str) -> None:
        """Write one touch before going on; if the store does not take it now, it waits with the others."""
        now = self.now()
        self.note(key, session_id, now)
        try:
            await self._touch([Touch(key, session_id, 0)])
        except StoreUnavailable as error:
            log.warning("a sign of life was not written and is kept for the next attempt: %s", error)
        else:
            self._settle([(key, (session_id, now))])

    async def flush(self) -> None:
        """Write everything that has gathered; what the store does not take stays for the next time."""
        gathered = list(self._pending.items())
        for start in range(0, len(gathered), BATCH):
            batch = gathered[start : start + BATCH]
            now = self.now()
            await self._touch([Touch(key, id_, (now - seen) // MILLISECOND) for key, (id_, seen) in batch])
            self._settle(batch)
        if not self._pending:
            # The next note sets the alarm, and with it the saving at exit, anew.
            self._alarm = None
            atexit.unregister(self._save)

    def _settle(self, written: Sequence[tuple[str, tuple[str, int]]]) -> None:
        for key, noted in written:
            if self._pending.get(key) == noted:
                self._pending.pop(key, None)

    def _set_alarm(self) -> None:
        self._alarm = asyncio.get_running_loop()
        self._alarm.call_later(self._interval / 1000, self._ring)
        # Held by the interpreter only while something is pending: an application that is already gone must be saved,
        # one that has nothing to save must be free to go.
        atexit.unregister(self._save)
        atexit.register(self._save)

    def _ring(self) -> None:
        task = asyncio.ensure_future(self._flush_on_alarm())
        self._flushes.add(task)
        task.add_done_callback(self._flushes.discard)

    async def _flush_on_alarm(self) -> None:
        self._alarm = None
        await self._flush_or_report()
        if self._pending and self._alarm is None:
            self._set_alarm()

    async def _flush_or_report(self) -> None:
        try:
            await self.flush()
        except SessionGuardError as error:
            log.warning("signs of life were not written and are kept for the next attempt: %s", error)

    def _save(self) -> None:
        asyncio.run(self._flush_or_report())


_everybodys: weakref.WeakSet[PendingTouches] = weakref.WeakSet()


def _forget_all() -> None:
    for touches in _everybodys:
        touches.forget()


os.register_at_fork(after_in_child=_forget_all)
