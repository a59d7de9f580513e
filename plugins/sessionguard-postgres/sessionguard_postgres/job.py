"""One statement that waits for a connection, and whoever waits for its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncpg

    Connection = asyncpg.Connection[asyncpg.Record]
    Work = Callable[[Connection], Awaitable[Any]]

JOB_SECONDS = 2.0


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
