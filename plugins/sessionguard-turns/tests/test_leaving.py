"""A place is given up and a turn handed on exactly once, on every way out; and what was read ahead is not lost."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sessionguard_turns.readahead import MOST_BYTES, ReadAhead
from turns_stage import Agent, settled


async def test_a_client_that_leaves_while_it_waits_gives_its_place_up(stage: Any, agent: Agent) -> None:
    """It is answered nothing, the application never hears of it, and the next one moves up."""
    play = stage()
    first = await play.running("first")
    second = await play.waiting("second")
    third = await play.waiting("third")
    second.leave()
    await second.answered()
    agent.let_go("first", "third")
    await first.answered()
    await third.answered()

    assert [] == second.sent
    assert ["first", "third"] == agent.order


async def test_a_place_that_was_given_up_is_free_for_another(stage: Any, agent: Agent) -> None:
    """Of the places for all conversations together, too."""
    play = stage(total_limit=1)
    await play.running("first")
    second = await play.waiting("second")
    second.leave()
    await second.answered()
    third = await play.waiting("third")

    assert not third.task.done()


async def test_a_client_that_leaves_while_its_turn_runs_keeps_it(stage: Any, agent: Agent) -> None:
    """The turn is over when the application returns, since until then it may work on the conversation."""
    play = stage()
    first = await play.running("first")
    await play.waiting("second")
    first.leave()
    await settled()
    assert ["first"] == agent.order
    agent.let_go("first")
    await first.answered()
    await agent.has("second")


async def test_a_websocket_that_leaves_while_it_waits_gives_its_place_up(stage: Any, agent: Agent) -> None:
    """Before it was accepted."""
    play = stage()
    await play.running("first")
    second = await play.waiting("second", body=None, type="websocket")
    second.leave()
    await second.answered()

    assert [] == second.sent
    assert ["first"] == agent.order


@pytest.mark.parametrize("who", ["waiting", "running"])
async def test_a_cancelled_request_makes_room(stage: Any, agent: Agent, who: str) -> None:
    """Servers cancel what takes too long, or what is left at a shutdown."""
    play = stage()
    first = await play.running("first")
    second = await play.waiting("second")
    third = await play.waiting("third")
    cancelled = second if who == "waiting" else first
    cancelled.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled.answered()
    agent.let_go("first", "second", "third")

    assert 200 == (await third.answered()).status
    assert ["first", *(["second"] if who == "running" else []), "third"] == agent.order
    assert 0 == len(play.gate._entrance.turnstile)


@pytest.mark.parametrize("steps", range(8))
async def test_a_request_that_is_cancelled_as_it_is_admitted_hands_its_turn_on(
    stage: Any, agent: Agent, steps: int
) -> None:
    """At whichever await it is."""
    play = stage()
    first = await play.running("first")
    second = await play.waiting("second")
    third = await play.waiting("third")
    agent.let_go("first", "third")
    for _ in range(steps):
        await asyncio.sleep(0)
    second.task.cancel()
    await asyncio.wait([second.task, first.task])

    assert 200 == (await third.answered()).status
    assert 0 == len(play.gate._entrance.turnstile)
    assert 0 == play.gate._entrance.turnstile._waiting


async def test_the_application_reads_the_body_as_it_was_sent(stage: Any, agent: Agent) -> None:
    """What came while the request waited, then what comes later; part by part."""
    play = stage()
    first = await play.running("first")
    second = play.post("second", body=None).body(b"one ", b"two ", end=False)
    await settled()
    agent.let_go("first", "second")
    await first.answered()
    await agent.has("second")
    second.body(b"three")
    await second.answered()

    assert b"one two three" == agent.bodies["second"]


async def test_no_more_is_read_ahead_than_64_kib(stage: Any, agent: Agent) -> None:
    """The rest of a large body stays with the server, which slows its sender down, and arrives afterwards."""
    play = stage()
    parts = [bytes([number]) * 20_000 for number in range(10)]
    first = await play.running("first")
    second = play.post("second", body=None).body(*parts)
    await settled()
    left = second.arrived.qsize()
    agent.let_go("first", "second")
    await second.answered()
    await first.answered()

    assert 6 == left
    assert b"".join(parts) == agent.bodies["second"]


async def test_a_client_behind_a_large_body_is_missed_when_it_is_admitted(stage: Any, agent: Agent) -> None:
    """Its leaving could not be seen, so the application is told, in order."""
    play = stage()
    first = await play.running("first")
    second = play.post("second", body=None).body(b"x" * MOST_BYTES, end=False)
    second.leave()
    await settled()
    assert not second.task.done()
    agent.let_go("first", "second")
    await first.answered()
    await second.answered()

    assert b"x" * MOST_BYTES == agent.bodies["second"]


async def test_a_message_is_not_lost_when_the_application_stops_waiting_for_it() -> None:
    """Frameworks cancel a `receive` and call it again."""
    arrived: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    ahead = ReadAhead(arrived.get)
    ahead.next()
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(ahead.receive(), 0.01)
    arrived.put_nowait({"type": "http.request", "body": b"one"})
    arrived.put_nowait({"type": "http.request", "body": b"two"})

    assert [b"one", b"two"] == [(await ahead.receive())["body"] for _ in range(2)]


async def test_an_error_of_the_server_reaches_the_application(stage: Any, agent: Agent) -> None:
    """A `receive` that fails while the request waits fails for whoever would have called it."""

    async def broken() -> Any:
        raise OSError("the wire")

    ahead = ReadAhead(broken)
    await asyncio.wait([ahead.next()])
    ahead.take()

    assert ahead.next() is None
    assert not ahead.client_left
    with pytest.raises(OSError, match="the wire"):
        await ahead.receive()


async def test_nothing_is_left_behind(stage: Any, agent: Agent) -> None:
    """Neither tasks nor conversations, however requests ended."""
    play = stage(wait_timeout=0.05)
    before = asyncio.all_tasks()
    callers = [await play.waiting(name) for name in ("fail", "second", "third")]
    callers[1].task.cancel()
    agent.let_go("fail", "third")
    await asyncio.gather(*(each.task for each in callers), return_exceptions=True)
    await settled()

    assert before == asyncio.all_tasks()
    assert 0 == len(play.gate._entrance.turnstile)
