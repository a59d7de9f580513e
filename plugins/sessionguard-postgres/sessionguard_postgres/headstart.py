"""A coroutine that begins at once, and is carried on by whichever task awaits what is left of it.

A task takes its first step in the next turn of its loop. What it would send is sent by then, so that the server works
meanwhile.
"""

from __future__ import annotations

import types
from collections.abc import Awaitable, Coroutine, Generator
from typing import Any, TypeVar, cast

T = TypeVar("T")


def begun(coroutine: Coroutine[Any, Any, T]) -> Awaitable[T]:
    """Run `coroutine` in the task of the caller up to where it first waits; return what gives its result, or raises.

    That is to be awaited once. The coroutine must not care which task it runs in, as one that bounds its own time does.
    """
    try:
        waits_for = coroutine.send(None)
    except Exception as error:  # One that has ended already says so by an exception, too.
        return _ended(error)
    return _carried_on(coroutine, waits_for)


@types.coroutine
def _carried_on(coroutine: Coroutine[Any, Any, T], waits_for: object) -> Generator[Any, Any, T]:
    """Hand the task what the coroutine waits for, and the coroutine what the task has to say, as `yield from` does."""
    try:
        while True:
            try:
                word = yield waits_for
            except BaseException as error:  # noqa: PERF203 - every word may be one
                waits_for = coroutine.throw(error)
            else:
                waits_for = coroutine.send(word)
    except StopIteration as end:
        return cast("T", end.value)


async def _ended(error: Exception) -> Any:
    if isinstance(error, StopIteration):
        return error.value
    raise error
