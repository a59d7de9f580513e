"""Mode `first`: who opens a conversation runs alone until the application has said something; then all are let in."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from isolation import DISABLED, neighbours
from turns_stage import Agent, Stage, settled

from sessionguard import SessionGuard
from sessionguard.store import wall_clock
from sessionguard.stores.memory import MemoryStore

HOUR = 3_600_000


async def test_others_are_held_until_the_first_non_empty_chunk(stage: Any, agent: Agent) -> None:
    """The head of the response is sent before a gateway looks the conversation up, and so is an empty chunk."""
    play = stage(mode="first")
    await play.running("head")
    others = [await play.waiting(f"other-{number}") for number in range(3)]
    agent.let_go("other-0", "other-1", "other-2", "head")
    await settled()
    held = list(agent.order)
    agent.let_go("head speaks")
    answers = [(await each.answered()).status for each in others]

    assert ["head"] == held
    assert [200, 200, 200] == answers


async def test_the_chunk_goes_out_at_once(stage: Any, agent: Agent) -> None:
    """Nothing of the first turn waits for anybody."""
    play = stage(mode="first")
    first = await play.running("head")
    agent.let_go("head", "head speaks")
    await settled()

    assert [None, b"", b"first"] == [message.get("body") for message in first.sent]


async def test_those_that_were_held_run_together(stage: Any, agent: Agent) -> None:
    """It is no queue: one first, then everybody."""
    play = stage(mode="first")
    await play.running("stream")
    others = [await play.waiting(f"other-{number}") for number in range(3)]
    agent.let_go("stream", "stream speaks")
    await settled()

    assert 4 == max(agent.most.values())
    agent.let_go("other-0", "other-1", "other-2")
    await asyncio.gather(*(each.answered() for each in others))


async def test_an_empty_answer_is_a_sign_when_it_ends(stage: Any, agent: Agent) -> None:
    """204 and done: nobody needs to go alone any more."""
    play = stage(mode="first")
    await play.running("empty")
    await play.waiting("other-1")
    await play.waiting("other-2")
    agent.let_go("empty")
    await settled()

    assert ["empty", "other-1", "other-2"] == agent.order


@pytest.mark.parametrize("failing", ["fail", "bad"], ids=["an exception", "an error of the application"])
async def test_when_the_first_one_fails_the_next_one_goes_alone(stage: Any, agent: Agent, failing: str) -> None:
    """An error is no sign that the application knows the conversation, so the others are not let loose on it."""
    play = stage(mode="first")
    first = await play.running(failing)
    await play.waiting("stream")
    await play.waiting("third")
    agent.let_go(failing)
    await asyncio.wait([first.task])
    await settled()
    alone = list(agent.order)
    agent.let_go("stream", "stream speaks")
    await settled()

    assert [failing, "stream"] == alone
    assert [failing, "stream", "third"] == agent.order
    first.task.exception()


async def test_an_established_conversation_is_not_touched(stage: Any, agent: Agent) -> None:
    """Everybody runs at once, and nothing is added to the answer or to what the application sees."""
    play = stage(mode="first", wait_timeout=0.05)
    await play.established()
    await asyncio.sleep(0.06)
    await play.running("first")
    agent.let_go("second")
    second = await play.post("second").answered()

    assert "x-sessionguard-wait-ms" not in second.headers
    assert "sessionguard.turn" not in agent.scopes["second"]


async def test_an_old_conversation_does_not_let_new_ones_pass(stage: Any, agent: Agent) -> None:
    """What is known of the one is nothing to the other."""
    play, now = await _play_with_an_old_conversation(stage, mode="first")
    now[0] = wall_clock()
    await play.running("stream", "new")
    agent.let_go("again")
    await play.post("again").answered()
    second = await play.waiting("second", "new")

    assert ["stream", "again"] == agent.order
    assert not second.task.done()


async def test_what_first_knows_of_an_old_conversation_is_nothing_to_wait(stage: Any, agent: Agent) -> None:
    """Where both modes are, an old conversation takes turns on the paths of the one and not on those of the other."""
    play, _ = await _play_with_an_old_conversation(stage, paths="/brief=first,*=wait")
    agent.let_go("brief")
    await play.post("brief").answered()
    await play.running("first")
    second = await play.waiting("second")

    assert ["brief", "first"] == agent.order
    assert not second.task.done()


async def test_a_young_conversation_that_has_answered_is_not_held_again(stage: Any, agent: Agent) -> None:
    """The sign counts for those that come later, too."""
    play = stage(mode="first")
    await play.established()
    await play.running("first")
    agent.let_go("second")

    assert 200 == (await play.post("second").answered()).status


async def test_whoever_comes_first_goes_first_even_if_another_opened_the_conversation(stage: Any, agent: Agent) -> None:
    """The opener may have been answered elsewhere; who finds a young row and no turn takes it."""
    play = stage(mode="first")
    opener = await play.running("bad-opener")
    agent.let_go("bad-opener")
    await opener.answered()
    await play.running("stream")
    third = await play.waiting("third")
    assert ["bad-opener", "stream"] == agent.order
    agent.let_go("stream", "stream speaks", "third")

    assert 200 == (await third.answered()).status


async def test_nobody_is_held_for_longer_than_the_timeout(stage: Any, agent: Agent) -> None:
    """Then the conversation is not new any more, and those that come now would not be held either."""
    play = stage(mode="first", wait_timeout=0.1)
    await play.running("first")
    agent.let_go("second")
    second = await play.post("second").answered()

    assert 200 == second.status
    assert ["first", "second"] == agent.order


async def test_who_comes_late_is_held_for_what_is_left_of_the_timeout(stage: Any, agent: Agent) -> None:
    """It is the conversation that is new, not the request; this one began a minute ago, but for a second."""
    play = stage(mode="first", wait_timeout=60, store=MemoryStore(clock=lambda: wall_clock() - 59_000))
    opener = await play.running("bad")
    agent.let_go("bad", "third")
    await opener.answered()
    await play.running("stream")
    third = await play.post("third").answered()

    assert 200 == third.status
    assert ["bad", "stream", "third"] == agent.order


async def test_a_new_start_of_a_conversation_has_a_first_turn_of_its_own(stage: Any, agent: Agent) -> None:
    """After a reset the same key is another conversation."""
    play = stage(mode="first")
    await play.established()
    await play.guard.reset("a")
    await play.running("stream")
    await play.waiting("second")

    assert ["stream"] == agent.order


async def test_a_websocket_opens_a_conversation_with_its_first_message(stage: Any, agent: Agent) -> None:
    """Accepting it is no sign."""
    play = stage(mode="first")
    await play.running("socket", body=None, type="websocket")
    second = await play.waiting("second")
    assert ["socket"] == agent.order
    agent.let_go("socket", "second")

    assert 200 == (await second.answered()).status


async def test_modes_of_one_conversation_go_together(stage: Any, agent: Agent) -> None:
    """Who waits for a whole turn and who waits for its beginning stand in one queue."""
    play = stage(paths="/stream=wait,/whole=wait,*=first")
    await play.running("stream")
    await play.waiting("brief")
    await play.waiting("whole")
    assert ["stream"] == agent.order
    agent.let_go("stream", "stream speaks", "brief", "whole")
    await settled()
    assert ["stream", "brief"] == agent.order
    agent.let_go("stream ends")
    await settled()

    assert ["stream", "brief", "whole"] == agent.order


class SharedStore(MemoryStore):
    """As far as the gates know, it is shared by processes."""

    coordination = "host"


async def test_a_sign_counts_in_every_process(stage: Any, agent: Agent) -> None:
    """Once the application has answered anywhere, nobody goes first any more, and all run together."""
    store = SharedStore()
    one, other = stage(mode="first", store=store), stage(mode="first", store=store)
    await one.running("stream")
    held = await other.waiting("second")
    assert ["stream"] == agent.order
    agent.let_go("stream", "stream speaks")
    await agent.has("second")
    await other.running("third")

    assert not held.task.done()
    assert 3 == max(agent.most.values())


async def test_whoever_reaches_a_gate_first_goes_first_though_another_process_opened_the_conversation(
    stage: Any, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that opened it is held like everybody else. Gates that no plugin has seen find the store in the scope."""
    monkeypatch.setenv(DISABLED, f"{neighbours('turns')},turns".lstrip(","))
    store = SharedStore()
    one, other = stage(mode="first", store=store), stage(mode="first", store=store)
    is_open, may_go_on = asyncio.Event(), asyncio.Event()

    async def delayed(scope: Any, receive: Any, send: Any) -> None:
        is_open.set()
        await may_go_on.wait()
        await one.gate(scope, receive, send)

    one.guard = SessionGuard(delayed, store=store)
    opener = one.post("opener")
    await is_open.wait()
    await other.running("stream")
    may_go_on.set()
    await settled()
    held = list(agent.order)
    agent.let_go("stream", "stream speaks", "opener")
    await opener.answered()

    assert ["stream"] == held
    assert "new" == agent.scopes["opener"]["sessionguard"].origin.value


async def test_a_sign_does_not_let_whole_turns_of_two_processes_overlap(stage: Any, agent: Agent) -> None:
    """It is for those who only waited for the conversation to be there."""
    store = SharedStore()
    one, other = (stage(paths="/stream=first,*=wait", store=store) for _ in range(2))
    opener = await one.running("stream")
    agent.let_go("stream", "stream speaks", "stream ends")
    await opener.answered()
    await one.running("first")
    second = await other.waiting("second")

    assert ["stream", "first"] == agent.order
    assert not second.task.done()


async def _play_with_an_old_conversation(stage: Any, **options: Any) -> tuple[Stage, list[int]]:
    """Return a stage where the conversation "a" began an hour ago, and the time of its store."""
    now = [wall_clock() - HOUR]
    play = stage(store=MemoryStore(clock=lambda: now[0]), **options)
    await play.established()
    return play, now
