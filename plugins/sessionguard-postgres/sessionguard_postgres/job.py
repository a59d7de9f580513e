"""One statement that waits for a connection, and whoever waits for its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from sessionguard import StoreUnavailable

if TYPE_CHECKING:
    import asyncpg

    Connection = asyncpg.Connection[asyncpg.Record]
    Work = Callable[[Connection], Awaitable[Any]]

JOB_SECONDS = 2.0


class Job:
    """`work` and its answer, which comes within two seconds or is StoreUnavailable.

    Whoever waits may leave; work that has begun goes on without him. A `repeatable` one may be sent twice.
    """

    def __init__(self, work: Work, *, repeatable: bool) -> None:
        loop = asyncio.get_running_loop()
        self.work = work
        self.repeatable = repeatable
        self.since = loop.time()
        self.answer: asyncio.Future[Any] = loop.create_future()
        late = StoreUnavailable("The session store did not answer in time; try again.")
        self._alarm = loop.call_later(JOB_SECONDS, self.fail, late)

    def deliver(self, answer: object) -> None:
        self._alarm.cancel()
        if not self.answer.done():
            self.answer.set_result(answer)

    def fail(self, error: Exception) -> None:
        self._alarm.cancel()
        if not self.answer.done():
            self.answer.set_exception(error)
