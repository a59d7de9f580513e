"""Limits of time, many of them kept by one alarm: each ends when it is due, and only what it is about."""

from __future__ import annotations

import asyncio
import threading

import pytest
from loop_clock import LoopClock

from sessionguard import StoreUnavailable
from sessionguard.deadlines import bounded, limit


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> LoopClock:
    return LoopClock(monkeypatch)


def soon(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


async def never() -> None:
    await asyncio.Event().wait()


async def end_late(seconds: float) -> None:
    """Wait for ever, with this limit."""
    with pytest.raises(StoreUnavailable, match="in time"):
        await bounded(never(), soon(seconds))


async def test_a_shorter_limit_ends_before_a_longer_one_that_began_earlier(clock: LoopClock) -> None:
    """The alarm is set anew when a waiter has less time, and each limit ends when it is due."""
    waits = {seconds: asyncio.ensure_future(end_late(seconds)) for seconds in (6, 2, 4, 3)}
    ended = []
    for _ in range(6):
        await clock.advance(1)
        ended.append(sorted(seconds for seconds, wait in waits.items() if wait.done()))

    assert ended == [[], [2], [2, 3], [2, 3, 4], [2, 3, 4], [2, 3, 4, 6]]
    await asyncio.gather(*waits.values())


async def test_a_limit_behind_one_that_was_not_needed_still_ends(clock: LoopClock) -> None:
    """The alarm that rang for nothing looks who is left."""
    await bounded(asyncio.sleep(0), soon(1))
    wait = asyncio.ensure_future(end_late(2))
    await clock.advance(1)
    early = wait.done()
    await clock.advance(1)

    assert (early, wait.done()) == (False, True)
    await wait


async def test_a_limit_that_has_passed_ends_at_once(clock: LoopClock) -> None:
    """Whoever comes too late is told, not forgotten."""
    wait = asyncio.ensure_future(end_late(-1))
    await clock.settle()

    assert wait.done()
    await wait


async def test_an_answer_leaves_nothing_behind(clock: LoopClock) -> None:
    """The alarm that rings later cancels nobody, not even the same task at its next piece of work."""
    for _ in range(3):
        assert await bounded(asyncio.sleep(0, "answer"), soon(1)) == "answer"
    await clock.advance(2)

    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_who_is_cancelled_while_waiting_is_cancelled(clock: LoopClock) -> None:
    """A client that leaves is not told that the store is late, though others with the same limit are."""
    leaver, stayer = (asyncio.ensure_future(bounded(never(), soon(1))) for _ in range(2))
    await clock.settle()
    leaver.cancel()
    await clock.advance(1)
    outcomes = await asyncio.gather(leaver, stayer, return_exceptions=True)

    assert [type(outcome) for outcome in outcomes] == [asyncio.CancelledError, StoreUnavailable]


async def test_an_error_of_the_work_is_its_own() -> None:
    """Only lateness is ours to name."""

    async def fail() -> None:
        raise ValueError("of the work")

    with pytest.raises(ValueError, match="of the work"):
        await bounded(fail(), soon(5))


async def test_many_that_are_late_together_all_end(clock: LoopClock) -> None:
    """By one alarm, and none that is not due yet."""
    waits = [asyncio.ensure_future(end_late(1 + number / 1000)) for number in range(500)]
    await clock.advance(1.25)
    ended = [wait.done() for wait in waits]
    await clock.advance(0.25)

    assert ended == [True] * 251 + [False] * 249
    assert all(wait.done() for wait in waits)
    await asyncio.gather(*waits)


def test_every_loop_keeps_its_own_time() -> None:
    """Loops that take turns in one thread, and loops of several threads, end their own waits and no others."""
    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    pending = first.create_task(end_late(0.05))
    first.run_until_complete(asyncio.sleep(0))
    second.run_until_complete(end_late(0.05))
    thread = threading.Thread(target=asyncio.run, args=(end_late(0.05),))
    thread.start()
    not_of_another_loop = not pending.done()
    first.run_until_complete(pending)
    thread.join()
    for loop in (first, second):
        loop.close()

    assert not_of_another_loop


async def test_a_task_of_any_class_hears_that_it_is_late(clock: LoopClock) -> None:
    """Task factories make their own."""
    loop = asyncio.get_running_loop()
    loop.set_task_factory(lambda loop, coro, **options: asyncio.tasks._PyTask(coro, loop=loop, **options))
    try:
        waits = [asyncio.create_task(end_late(1)) for _ in range(2)]
    finally:
        loop.set_task_factory(None)
    await clock.advance(1)

    assert [wait.done() for wait in waits] == [True, True]
    await asyncio.gather(*waits)


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
