"""A limit of time for a piece of work, without a task of its own and on every Python alike."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator


class DeadlinePassed(Exception):
    """The work took too long and was broken off."""


@contextlib.contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Break off what the running task awaits inside, after so many seconds, and raise DeadlinePassed.

    `asyncio.timeout` of Python 3.11.0 to 3.11.2 can lose its TimeoutError when the work cleans up behind itself, and
    older ones have none.
    """
    task = asyncio.current_task()
    passed = False

    def pass_by() -> None:
        nonlocal passed
        passed = task is not None and task.cancel()

    alarm = asyncio.get_running_loop().call_later(seconds, pass_by)
    try:
        yield
    except asyncio.CancelledError:
        # Somebody else may have cancelled the task at the same moment; before Python 3.11 nobody can tell.
        if not passed or getattr(task, "uncancel", int)():
            raise
        raise DeadlinePassed(f"no answer within {seconds:g} s") from None
    finally:
        alarm.cancel()
