"""Limits of time, many of them kept by one alarm: each ends when it is due, and only what it is about."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from sessionguard import StoreUnavailable
from sessionguard.deadlines import bounded, limit

PATIENCE = 5.0


def soon(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


async def never() -> None:
    await asyncio.Event().wait()


async def ended_after(seconds: float) -> float:
    """Return how long a wait with this limit took."""
    started = time.monotonic()
    with pytest.raises(StoreUnavailable, match="in time"):
        await bounded(never(), soon(seconds))
    return time.monotonic() - started


async def test_a_shorter_limit_ends_before_a_longer_one_that_began_earlier() -> None:
    """The alarm is set anew when somebody has less time."""
    order: list[float] = []

    async def wait(seconds: float) -> None:
        await ended_after(seconds)
        order.append(seconds)

    await asyncio.gather(*(wait(seconds) for seconds in (0.3, 0.1, 0.2, 0.15)))

    assert order == [0.1, 0.15, 0.2, 0.3]


async def test_a_limit_behind_one_that_was_not_needed_still_ends() -> None:
    """The alarm that rang for nothing looks who is left."""
    await bounded(asyncio.sleep(0), soon(0.05))

    assert 0.1 <= await ended_after(0.1) < 2


async def test_a_limit_that_has_passed_ends_at_once() -> None:
    """Whoever comes too late is told, not forgotten."""
    assert await ended_after(-1.0) < 1


async def test_an_answer_leaves_nothing_behind() -> None:
    """The alarm that rings later cancels nobody, not even the same task at its next piece of work."""
    for _ in range(3):
        assert await bounded(asyncio.sleep(0, "answer"), soon(0.03)) == "answer"
    await asyncio.sleep(0.1)

    assert asyncio.current_task() is not None


async def test_who_is_cancelled_while_waiting_is_cancelled() -> None:
    """A client that leaves is not told that the store is late, though others with the same limit are."""
    leaver, stayer = (asyncio.ensure_future(bounded(never(), soon(0.1))) for _ in range(2))
    await asyncio.sleep(0)
    leaver.cancel()
    outcomes = await asyncio.gather(leaver, stayer, return_exceptions=True)

    assert [type(outcome) for outcome in outcomes] == [asyncio.CancelledError, StoreUnavailable]


async def test_an_error_of_the_work_is_its_own() -> None:
    """Only lateness is ours to name."""

    async def fail() -> None:
        raise ValueError("of the work")

    with pytest.raises(ValueError, match="of the work"):
        await bounded(fail(), soon(5))


async def test_many_that_are_late_together_all_end() -> None:
    """Each hears of it, in about the time one alarm takes."""
    outcomes = await asyncio.gather(*(ended_after(0.05 + number / 10_000) for number in range(500)))

    assert len(outcomes) == 500
    assert max(outcomes) < 5


def test_every_loop_keeps_its_own_time() -> None:
    """Loops that take turns in one thread, and loops of several threads, end their own waits and no others."""

    async def wait() -> float:
        return await ended_after(0.05)

    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    pending = first.create_task(wait())
    first.run_until_complete(asyncio.sleep(0))
    second.run_until_complete(wait())
    thread = threading.Thread(target=asyncio.run, args=(wait(),))
    thread.start()
    waited = first.run_until_complete(pending)
    thread.join()
    for loop in (first, second):
        loop.close()

    assert 0.05 <= waited < 5


async def test_a_task_of_any_class_hears_that_it_is_late() -> None:
    """Task factories make their own, and so does the backport of `asyncio.Runner` to Python 3.10."""
    loop = asyncio.get_running_loop()
    loop.set_task_factory(lambda loop, coro, **options: asyncio.tasks._PyTask(coro, loop=loop, **options))
    try:
        waits = [asyncio.create_task(ended_after(0.05)) for _ in range(2)]
    finally:
        loop.set_task_factory(None)
    finished, _ = await asyncio.wait(waits, timeout=PATIENCE)

    assert finished == set(waits)
    assert all(0.05 <= wait.result() < PATIENCE for wait in waits)


async def test_what_is_done_when_the_alarm_rings_stays_as_it_is() -> None:
    """Its limit was not lifted yet: whoever waits has not had his turn of the loop."""
    answers = [asyncio.get_running_loop().create_future() for _ in range(2)]
    for answer in answers:
        limit(answer, soon(0.0))
    answers[0].set_result("answer")
    await asyncio.wait(answers)

    assert answers[0].result() == "answer"
    with pytest.raises(StoreUnavailable, match="in time"):
        answers[1].result()
