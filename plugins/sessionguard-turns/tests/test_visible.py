"""What can be seen of a wait: a response header, a hook, and a line in the log when it is long."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from sessionguard_turns import TurnGate, TurnsPlugin, waiting
from turns_stage import Agent, Caller, Stage

from sessionguard import SessionGuard, hookimpl


class Watcher:
    """Writes down what it is told, and says how some paths take their turn."""

    def __init__(self) -> None:
        self.waits: list[tuple[str, str]] = []
        self.seconds: list[float] = []
        self.refused: list[str] = []

    @hookimpl
    def sessionguard_turn_waited(self, scope: Any, outcome: str, seconds: float) -> None:
        self.waits.append((scope["path"], outcome))
        self.seconds.append(seconds)

    @hookimpl
    def sessionguard_request_refused(self, error: Any) -> None:
        self.refused.append(error.code)

    @hookimpl
    def sessionguard_turn_mode(self, scope: Any, resolution: Any) -> str | None:
        if scope["path"] == "/nonsense":
            return "sometimes"
        return "reject" if b"x-impatient" in dict(scope["headers"]) else None


@pytest.fixture
def watcher() -> Watcher:
    return Watcher()


@pytest.fixture
def play(agent: Agent, watcher: Watcher) -> Stage:
    """The plugin as it is when it is installed: it puts the gate there."""
    play = Stage(agent)
    play.guard = SessionGuard(agent, store="memory:", plugins=[TurnsPlugin(wait_timeout=0.3), watcher])
    play.gate = play.guard._app
    return play


async def test_the_wait_is_a_response_header(stage: Any, agent: Agent) -> None:
    """In milliseconds, on what was let in and on what was refused."""
    play = stage(wait_timeout=0.1)
    first = await play.running("first")
    refused = await play.post("refused").answered()
    agent.let_go("first")
    await first.answered()

    waits = [int(answer.headers["x-sessionguard-wait-ms"]) for answer in (first, refused)]
    assert waits[0] < waits[1]
    assert 100 <= waits[1]


async def test_plugins_are_told_of_every_wait(play: Stage, agent: Agent, watcher: Watcher) -> None:
    """How it ended, and how long it took; a refusal is one like every other."""
    first = await play.running("first")
    agent.let_go("nested")
    await play.post("nested", headers=play.turn.headers).answered()
    left = await play.waiting("left")
    left.leave()
    await left.answered()
    cancelled = await play.waiting("cancelled")
    cancelled.task.cancel()
    await play.post("busy").answered()
    agent.let_go("first")
    await first.answered()

    outcomes = ["admitted", "nested", "left", "left", "busy"]
    assert outcomes == [outcome for _, outcome in watcher.waits]
    assert ["/first", "/nested", "/left", "/cancelled", "/busy"] == [path for path, _ in watcher.waits]
    assert watcher.seconds[-1] >= 0.3
    assert ["session_busy"] == watcher.refused


async def test_a_plugin_says_how_a_request_takes_its_turn(play: Stage, agent: Agent) -> None:
    """Request by request; None leaves it to the settings."""
    await play.running("first")
    impatient = await play.post("second", headers={"x-impatient": "yes"}).answered()
    patient = await play.waiting("third")

    assert 409 == impatient.status
    assert not patient.task.done()


async def test_a_plugin_that_answers_nonsense_is_named(play: Stage, agent: Agent, watcher: Watcher) -> None:
    """No guess is made about what it meant."""
    answer = await play.post("nonsense").answered()

    assert (500, "policy_failed") == (answer.status, answer.error["code"])
    assert "Watcher" in answer.error["message"]
    assert ["policy_failed"] == watcher.refused
    assert [] == agent.order


async def test_a_gate_put_there_by_hand_hears_the_plugins_too(agent: Agent, watcher: Watcher) -> None:
    """With the distribution installed; there is one gate, the one that was written down."""
    gate = TurnGate(agent, mode="reject")
    guard = SessionGuard(gate, store="memory:", plugins=[TurnsPlugin(), watcher])
    agent.let_go("first")
    await Caller(guard, "first", "a", {}).body(b"").answered()

    assert guard._app == gate.door.enter
    assert [("/first", "admitted")] == watcher.waits


async def test_a_wait_of_two_seconds_is_logged_without_the_key(
    stage: Any, agent: Agent, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once for each, with its position, and for how long the turn before has been running."""
    assert 2.0 == waiting.LONG_WAIT
    monkeypatch.setattr(waiting, "LONG_WAIT", 0.1)
    play = stage()
    await play.running("first", "my-secret-chat")
    for name in ("second", "third"):
        await play.waiting(name, "my-secret-chat")
    caplog.set_level(logging.WARNING, "sessionguard")
    lines: list[str] = []
    for _ in range(1000):
        if len(lines) < 2:
            await asyncio.sleep(0.02)
            lines = [message for message in caplog.messages if "has waited" in message]

    assert 2 == len(lines)
    assert ["position 1;", "position 2;"] == [line[line.index("position") :].partition(" the")[0] for line in lines]
    assert all("the turn under way has taken " in line for line in lines)
    assert "my-secret-chat" not in caplog.text
    assert agent.scopes["first"]["session_id"] not in caplog.text
