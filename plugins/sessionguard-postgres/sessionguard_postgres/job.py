"""One statement that waits for a connection, and whoever waits for its answer."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from sessionguard_postgres.faults import CONFLICTS

if TYPE_CHECKING:
    import asyncpg

    Connection = asyncpg.Connection[asyncpg.Record]
    Work = Callable[[Connection], Coroutine[Any, Any, Any]]

JOB_SECONDS = 2.0
TRIES = 12
FIRST_PAUSE, LONGEST_PAUSE = 0.004, 0.04


class Job:
    """`work` and its answer. Whoever waits may leave; work that has begun goes on without him.

    A `repeatable` one may be sent twice; `since` is a time of the loop's clock.
    """

    __slots__ = ("answer", "repeatable", "since", "work")

    def __init__(self, work: Work, loop: asyncio.AbstractEventLoop, *, repeatable: bool) -> None:
        self.work = work
        self.repeatable = repeatable
        self.since = loop.time()
        self.answer: asyncio.Future[Any] = loop.create_future()

    def deliver(self, answer: object) -> None:
        if not self.answer.done():
            self.answer.set_result(answer)

    def fail(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)

    async def tried_again(self, connection: Connection) -> Any:
        """Return the answer of a transaction that failed for another one, after a few more tries."""
        pause, tries_left = FIRST_PAUSE, TRIES - 1
        while True:
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
            try:
                return await self.work(connection)
            except CONFLICTS:
                tries_left -= 1
                if not tries_left:
                    raise
            pause = min(2 * pause, LONGEST_PAUSE)
