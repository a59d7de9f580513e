"""A limit of time for a piece of work, without a task of its own and on every Python alike."""

from __future__ import annotations

import asyncio


class DeadlinePassed(Exception):
    """The work took too long and was broken off."""


class Deadline:
    """Breaks off what the running task awaits in its block, after so many seconds, and raises DeadlinePassed.

    `asyncio.timeout` of Python 3.11.0 to 3.11.2 can lose its TimeoutError when the work cleans up behind itself, and
    older ones have none.
    """

    __slots__ = ("_alarm", "_passed", "_seconds", "_task")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._passed = False

    def __enter__(self) -> None:
        self._task = asyncio.current_task()
        self._alarm = asyncio.get_running_loop().call_later(self._seconds, self._pass_by)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._alarm.cancel()
        # Somebody else may have cancelled the task at the same moment; before Python 3.11 nobody can tell.
        if self._passed and kind is asyncio.CancelledError and not getattr(self._task, "uncancel", int)():
            raise DeadlinePassed(f"no answer within {self._seconds:g} s") from None

    def _pass_by(self) -> None:
        self._passed = self._task is not None and self._task.cancel()
