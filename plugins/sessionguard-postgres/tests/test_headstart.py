"""What has begun before its task runs goes on in that task as if it had begun there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest
from sessionguard_postgres.headstart import begun


async def test_it_begins_at_once_and_goes_on_in_the_task_that_awaits_it() -> None:
    """Everything up to the first wait happens before there is a task."""
    steps: list[object] = []
    answers: list[asyncio.Future[str]] = [asyncio.get_running_loop().create_future() for _ in range(2)]

    async def ask() -> str:
        steps.append("sent")
        heard = await answers[0]
        steps.append(asyncio.current_task())
        return heard + await answers[1]

    rest = begun(ask())
    steps.append("begun")
    task = asyncio.ensure_future(_finish(rest))
    answers[0].set_result("a")  # Before the task has taken its first step.
    await asyncio.sleep(0)
    answers[1].set_result("b")

    assert await task == "ab"
    assert steps == ["sent", "begun", task]


async def test_what_need_not_wait_has_its_result() -> None:
    """It is over by the time anybody looks."""

    async def know() -> int:
        return 42

    assert await begun(know()) == 42


@pytest.mark.parametrize("waits", [False, True])
async def test_an_error_comes_to_whoever_awaits(waits: bool) -> None:
    """Never to the one who let it begin."""

    async def fail() -> None:
        if waits:
            await asyncio.sleep(0)
        raise ConnectionError("lost")

    rest = begun(fail())
    with pytest.raises(ConnectionError, match="lost"):
        await rest


@pytest.mark.parametrize("first_step_taken", [False, True])
async def test_a_task_that_is_cancelled_cancels_what_it_carries_on(first_step_taken: bool) -> None:
    """The coroutine can clean up, and may wait while it does."""
    never: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    steps: list[str] = []

    async def wait() -> None:
        try:
            await never
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            steps.append("cleaned up")
            raise

    task = asyncio.ensure_future(_finish(begun(wait())))
    await asyncio.sleep(0)
    if first_step_taken:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert steps == ["cleaned up"]


async def _finish(rest: Awaitable[str] | Awaitable[None]) -> str | None:
    return await rest
