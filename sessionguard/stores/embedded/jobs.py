"""What waits in the queue of a store thread, and how its answers find the way back to their event loops."""

from __future__ import annotations

import abc
import asyncio
import contextlib
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, ClassVar, Generic, TypeVar, cast

from sessionguard.errors import SessionGuardError
from sessionguard.stores.embedded.rows import Rows

JOB_SECONDS = 2.0

T = TypeVar("T")
Answer = tuple[Callable[[Any], None], Any]
"""Whom to tell, in his event loop, and what."""


class Job(abc.ABC):
    """Something to do with the rows of some keys before a deadline; `writes` is whether in a transaction."""

    __slots__ = ("deadline", "loop", "writes")

    believes_absence: ClassVar[bool]
    """Whether it is an answer that there is no row, and not a reason to look again in a transaction."""

    def __init__(self, *, writes: bool) -> None:
        self.loop = asyncio.get_running_loop()
        self.deadline = time.monotonic() + JOB_SECONDS
        self.writes = writes

    @property
    @abc.abstractmethod
    def is_wanted(self) -> bool:
        """Whether anybody still waits for it."""

    @property
    @abc.abstractmethod
    def keys(self) -> Collection[str]:
        """Those whose rows it needs."""

    @abc.abstractmethod
    def run(self, rows: Rows) -> None:
        """Do it, and remember what came of it; perhaps once more, if the transaction does not come about."""

    @abc.abstractmethod
    def answers(self) -> Sequence[Answer]:
        """Return what came of it; what has no answer yet `writes` from now on."""

    @abc.abstractmethod
    def failures(self, error: Exception) -> Sequence[Answer]:
        """Return that it has failed."""

    @abc.abstractmethod
    def begin_anew(self) -> None:
        """Look again after a wait: whoever was in the way may have done what this is about, as in a race."""


class Call(Job, Generic[T]):
    """One function to run; what it `serves`, a retired store refuses."""

    __slots__ = ("_answer", "_error", "_keys", "_serves", "_work", "future")

    believes_absence = True

    def __init__(self, keys: Collection[str], work: Callable[[Rows], T], *, writes: bool, serves: bool) -> None:
        super().__init__(writes=writes)
        self.future: asyncio.Future[T] = self.loop.create_future()
        self._keys = keys
        self._work = work
        self._serves = serves
        self._answer: T | None = None
        self._error: Exception | None = None

    @property
    def is_wanted(self) -> bool:
        return not self.future.cancelled()

    @property
    def keys(self) -> Collection[str]:
        return self._keys

    def run(self, rows: Rows) -> None:
        self._error = None
        try:
            if self._serves:
                rows.database.mark.refuse()
            self._answer = self._work(rows)
        except SessionGuardError as error:
            self._error = error

    def answers(self) -> Sequence[Answer]:
        return [(self._settle, self._error)]

    def failures(self, error: Exception) -> Sequence[Answer]:
        return [(self._settle, error)]

    def begin_anew(self) -> None:
        """It has looked for nothing yet."""

    def _settle(self, error: Exception | None) -> None:
        if self.future.done():
            return
        if error is not None:
            self.future.set_exception(error)
        else:
            self.future.set_result(cast("T", self._answer))


def fail(jobs: Iterable[Job], error: Exception) -> None:
    """Answer all of them with `error`."""
    _deliver((job.loop, job.failures(error)) for job in jobs)


def deliver(jobs: Iterable[Job]) -> None:
    """Hand over the answers there are."""
    _deliver((job.loop, job.answers()) for job in jobs)


def _deliver(answered: Iterable[tuple[asyncio.AbstractEventLoop, Sequence[Answer]]]) -> None:
    """Wake every event loop once; a loop that is gone wants none."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Answer]] = {}
    for loop, answers in answered:
        if answers:
            by_loop.setdefault(loop, []).extend(answers)
    for loop, those in by_loop.items():
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_deliver_here, those)


def _deliver_here(answers: Iterable[Answer]) -> None:
    for tell, answer in answers:
        tell(answer)
