"""What waits in the queue of a store thread, and how its answers find the way back to their event loops."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from sessionguard.errors import SessionGuardError
from sessionguard.stores.embedded.rows import Rows

JOB_SECONDS = 2.0


@dataclasses.dataclass(slots=True)
class Job:
    """One function to run against the rows of these keys, and where its answer goes.

    `serves` is whether a retired store refuses it. `otherwise` is what has to run in a transaction when `work`, which
    only looks, has no answer; `writes` is whether it is the turn of what writes.
    """

    keys: Collection[str]
    work: Callable[[Rows], Any]
    writes: bool
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    deadline: float
    otherwise: Callable[[Rows], Any] | None = None
    serves: bool = False
    answer: Any = None
    error: Exception | None = None

    def run(self, rows: Rows) -> None:
        self.error = None
        try:
            if self.serves:
                rows.database.mark.refuse()
            work = self.otherwise if self.writes and self.otherwise is not None else self.work
            self.answer = work(rows)
        except SessionGuardError as error:
            self.error = error

    def goes_on(self) -> bool:
        """Whether looking was not enough; then it is a job that writes, until it has to wait."""
        if self.writes or self.otherwise is None or self.answer is not None or self.error is not None:
            return False
        self.writes = True
        return True

    def deliver(self) -> None:
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.answer)


def begun_anew(jobs: Sequence[Job]) -> Sequence[Job]:
    """Let them look again after a wait: whoever was in the way may have done what they are about, as in a race."""
    for job in jobs:
        job.writes = job.writes and job.otherwise is None
    return jobs


def fail(jobs: Iterable[Job], error: Exception) -> None:
    """Answer all of them with `error`."""
    jobs = list(jobs)
    for job in jobs:
        job.error = error
    deliver(jobs)


def deliver(jobs: Iterable[Job]) -> None:
    """Hand the answers over, waking every event loop once; a loop that is gone wants none."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Job]] = {}
    for job in jobs:
        by_loop.setdefault(job.loop, []).append(job)
    for loop, answered in by_loop.items():
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_deliver_here, answered)


def _deliver_here(jobs: Iterable[Job]) -> None:
    for job in jobs:
        job.deliver()
