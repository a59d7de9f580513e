"""Limits of time for what tasks wait for, those of one event loop all kept by one alarm.

Nearly every limit is set only to be taken back a moment later. A timer of the loop for each of them would cost more
than most answers of a store: it is one more thing to make, to sort and, in uvloop, to close. Here a limit is an entry
in a dictionary.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable
from typing import Any, TypeVar, cast

from sessionguard.errors import StoreUnavailable

STEP_SECONDS = 0.01
"""How long an alarm rests at least, so that many limits that end one after the other do not each need one."""

T = TypeVar("T")


async def bounded(work: Awaitable[T], due: float) -> T:
    """Await `work` until `due`, a time of the loop's clock; then cancel it and raise StoreUnavailable.

    It runs in the task of the caller, since a task of its own would cost as much again. One inside another is not for
    the same task.
    """
    task = cast("asyncio.Task[Any]", asyncio.current_task())
    watch = limit(task, due)
    try:
        return await work
    except asyncio.CancelledError:
        # Somebody else may have cancelled the caller at the same moment; before Python 3.11 nobody can tell.
        if watch.lift(task) or getattr(task, "uncancel", int)():
            raise
        raise _late() from None
    finally:
        watch.lift(task)


def limit(waiting: asyncio.Future[Any], due: float) -> Watch:
    """Let `waiting` fail with StoreUnavailable at `due`, or, if it is a task, be cancelled; the answer lifts that."""
    loop = waiting.get_loop()
    watch = _here.watch
    if watch is None or watch.loop is not loop:
        watch = _here.watch = Watch(loop)
    watch.waiting[waiting] = due
    if due < watch.rings:
        watch.ring_at(due)
    return watch


class Watch:
    """Ends what is `waiting` in one event loop when its time has come, and no longer counts it.

    `rings` is when it looks next. An alarm that nobody needs any more is left to ring: to take it back costs more.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.waiting: dict[asyncio.Future[Any], float] = {}
        self.rings = float("inf")
        self._alarm: asyncio.TimerHandle | None = None

    def lift(self, waiting: asyncio.Future[Any]) -> bool:
        """Take a limit back; returns whether it was still there."""
        return self.waiting.pop(waiting, None) is not None

    def ring_at(self, when: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self.rings = when
        self._alarm = self.loop.call_at(when, self._ring)

    def _ring(self) -> None:
        self._alarm, self.rings = None, float("inf")
        now = self.loop.time()
        for late in [late for late, due in self.waiting.items() if due <= now]:
            del self.waiting[late]
            # Not `isinstance`: task factories, and the backport of `asyncio.Runner`, have tasks of other classes.
            if hasattr(late, "get_coro"):
                late.cancel()
            elif not late.done():
                late.set_exception(_late())
        if self.waiting:
            self.ring_at(max(now + STEP_SECONDS, min(self.waiting.values())))


def _late() -> StoreUnavailable:
    return StoreUnavailable("The session store did not answer in time; try again.")


class _Here(threading.local):
    """The watch of the loop that this thread runs. Another loop's, if it still needs one, is held by its alarm."""

    watch: Watch | None = None


_here = _Here()
