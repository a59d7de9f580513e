"""A turn may call its own conversation: its token admits the call beside it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sessionguard_turns import TOKEN_HEADER, Turn, TurnGate, get_turn
from turns_stage import Agent, settled


async def test_a_nested_call_runs_inside_the_turn(stage: Any, agent: Agent) -> None:
    """It does not wait for the end of what is waiting for it, and the others go on waiting."""
    play = stage()
    first = await play.running("first")
    await play.waiting("second")
    agent.let_go("nested", "second")
    nested = await play.post("nested", headers=play.turn.headers).answered()
    order = list(agent.order)
    agent.let_go("first")
    await first.answered()
    await agent.has("second")

    assert 200 == nested.status
    assert ["first", "nested"] == order
    assert get_turn(agent.scopes["nested"]) is get_turn(agent.scopes["first"])


async def test_a_turn_is_over_when_the_last_of_its_calls_is(stage: Any, agent: Agent) -> None:
    """A nested call that outlives its caller keeps the others out."""
    play = stage()
    first = await play.running("first")
    nested = await play.running("nested", headers=play.turn.headers)
    await play.waiting("second")
    agent.let_go("first", "second")
    await first.answered()
    await settled()
    assert ["first", "nested"] == agent.order
    agent.let_go("nested")
    await nested.answered()
    await agent.has("second")


async def test_a_reject_gate_lets_a_nested_call_in(stage: Any, agent: Agent) -> None:
    """The conversation is busy for others."""
    play = stage(mode="reject")
    await play.running("first")
    agent.let_go("nested")

    assert 200 == (await play.post("nested", headers=play.turn.headers).answered()).status


async def test_a_gateway_finds_the_token_in_a_request_header(stage: Any, agent: Agent) -> None:
    """So a proxy forwards it with no code of its own; what the client claimed is not among it."""
    play = stage()
    await play.running("first", headers={TOKEN_HEADER: "guessed", "x_sessionguard_turn": "guessed"})
    scope = agent.scopes["first"]
    sent = [value.decode() for name, value in scope["headers"] if b"turn" in name]

    assert [play.turn.token] == sent


async def test_a_nested_call_that_has_lost_its_token_is_told_so(stage: Any, agent: Agent) -> None:
    """It would wait for ever for its own caller; it waits for as long as anybody, and the error says what to do."""
    play = stage(wait_timeout=0.05)
    await play.running("first")
    lost = await play.post("lost").answered()
    wrong = await play.post("wrong", headers={TOKEN_HEADER: "of-another-turn"}).answered()

    assert [409, 409] == [lost.status, wrong.status]
    assert f"must send its header {TOKEN_HEADER}" in lost.error["message"]
    assert f"The header {TOKEN_HEADER} belongs to no turn under way" in wrong.error["message"]


async def test_a_token_is_worth_nothing_when_its_turn_is_over(stage: Any, agent: Agent) -> None:
    """Nor in another conversation."""
    play = stage()
    agent.let_go("first")
    await play.post("first").answered()
    token = play.turn.headers
    await play.running("second")
    late = await play.waiting("late", headers=token)
    other_token = play.turn.headers
    await play.running("other", "b")
    strange = await play.waiting("strange", "b", headers=other_token)

    assert ["first", "second", "other"] == agent.order
    assert [False, False] == [each.task.done() for each in (late, strange)]


async def test_the_fencing_number_grows_from_turn_to_turn(stage: Any, agent: Agent) -> None:
    """Also from one process to the next."""
    numbers: list[int] = []
    for _ in range(2):
        play = stage()
        names = ["one", "two", "three"]
        agent.let_go(*names)
        await asyncio.gather(*(play.post(name).answered() for name in names))
        numbers += [turn.fencing_number for name in names if (turn := get_turn(agent.scopes[name]))]
        await asyncio.sleep(0.01)

    assert 6 == len(numbers)
    assert sorted(set(numbers)) == numbers


async def test_a_gate_behind_a_gate_has_no_turns_of_its_own(stage: Any, agent: Agent) -> None:
    """As when one was put there by hand and another by the plugin: the application sees the outer one's token."""
    play = stage(mode="reject")
    play.gate._app = TurnGate(agent)
    await play.running("first")
    agent.let_go("nested")

    assert 200 == (await play.post("nested", headers=play.turn.headers).answered()).status


def test_a_token_shows_in_no_log() -> None:
    """It lets its owner in."""
    turn = Turn(7)

    assert turn.token not in repr(turn)
    with pytest.raises(AttributeError):
        turn.token = "another"
