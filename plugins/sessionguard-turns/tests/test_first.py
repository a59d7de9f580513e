"""Mode `first`: the first turn of a conversation runs alone until its answer has ended; then all requests run."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sessionguard_turns import TurnGate, entrance, get_turn
from turns_stage import Agent, settled

from sessionguard import SessionGuard
from sessionguard.store import wall_clock
from sessionguard.stores.memory import MemoryStore

HOUR = 3_600_000


async def test_others_wait_until_the_first_answer_has_ended(stage: Any, agent: Agent) -> None:
    """Neither the head of the response nor a part of its body lets them in."""
    play = stage(mode="first")
    await play.running("head")
    others = [await play.waiting(f"other-{number}") for number in range(3)]
    agent.let_go("other-0", "other-1", "other-2", "head", "head speaks")
    await settled()
    before_the_end = list(agent.order)
    agent.let_go("head ends")
    statuses = [(await each.answered()).status for each in others]

    assert ["head"] == before_the_end
    assert [200, 200, 200] == statuses


async def test_the_first_answer_is_passed_on_at_once(stage: Any, agent: Agent) -> None:
    """The client of the first turn gets every part as the application sends it."""
    play = stage(mode="first")
    first = await play.running("head")
    agent.let_go("head", "head speaks")
    await settled()

    assert [None, b"", b"first"] == [message.get("body") for message in first.sent]


async def test_requests_that_waited_run_together(stage: Any, agent: Agent) -> None:
    """They are no queue: one turn alone, then all others at once."""
    play = stage(mode="first")
    await play.running("empty")
    others = [await play.waiting(f"other-{number}") for number in range(3)]
    agent.let_go("empty")
    await settled()

    assert 3 == max(agent.most.values())
    agent.let_go("other-0", "other-1", "other-2")
    await asyncio.gather(*(each.answered() for each in others))


@pytest.mark.parametrize("failing", ["fail", "bad"], ids=["an exception", "an error status"])
async def test_after_a_failed_first_turn_the_next_request_is_the_first(stage: Any, agent: Agent, failing: str) -> None:
    """A failure does not establish the conversation, so the others go on waiting."""
    play = stage(mode="first")
    first = await play.running(failing)
    await play.waiting("second")
    await play.waiting("third")
    agent.let_go(failing)
    await asyncio.wait([first.task])
    await settled()
    alone = list(agent.order)
    agent.let_go("second")
    await settled()

    assert [failing, "second"] == alone
    assert [failing, "second", "third"] == agent.order
    first.task.exception()


async def test_a_conversation_of_any_age_is_new_until_a_turn_has_ended_well(stage: Any, agent: Agent) -> None:
    """A row whose first turn failed an hour ago does not let two requests run together."""
    now = [wall_clock() - HOUR]
    play = stage(store=MemoryStore(clock=lambda: now[0]), mode="first")
    agent.let_go("bad")
    await play.post("bad").answered()
    now[0] = wall_clock()
    await play.running("second")
    third = await play.waiting("third")

    assert ["bad", "second"] == agent.order
    assert not third.task.done()


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_request_for_reading_neither_waits_nor_establishes(stage: Any, agent: Agent, method: str) -> None:
    """It makes a row, and the turn after it is still the first."""
    play = stage(mode="first")
    agent.let_go("read", "read again")
    await play.post("read", method=method).answered()
    await play.running("first")
    await play.post("read again", method=method).answered()
    second = await play.waiting("second")

    assert ["read", "first", "read again"] == agent.order
    assert not second.task.done()


async def test_a_websocket_neither_waits_nor_establishes(stage: Any, agent: Agent) -> None:
    """A control panel may stay connected while the first turn runs."""
    play = stage(mode="first")
    agent.let_go("socket", "later socket")
    await play.post("socket", body=None, type="websocket").answered()
    await play.running("first")
    await play.post("later socket", body=None, type="websocket").answered()
    second = await play.waiting("second")

    assert ["socket", "first", "later socket"] == agent.order
    assert not second.task.done()


async def test_an_established_conversation_is_not_touched(stage: Any, agent: Agent) -> None:
    """All requests run at once, and nothing is added to the response or to the scope."""
    play = stage(mode="first")
    await play.established()
    await play.running("first")
    agent.let_go("second")
    second = await play.post("second").answered()

    assert "x-sessionguard-wait-ms" not in second.headers
    assert "sessionguard.turn" not in agent.scopes["second"]


@pytest.mark.parametrize("disabled", ["", "turns"], ids=["connected by the plugin", "by itself"])
async def test_an_established_conversation_costs_one_look(
    stage: Any, agent: Agent, monkeypatch: pytest.MonkeyPatch, disabled: str
) -> None:
    """The gate does not even ask for its mode."""
    if disabled:
        monkeypatch.setenv("SESSIONGUARD_DISABLED_PLUGINS", disabled)
    play = stage(mode="first", store=SharedStore())
    await play.established()
    monkeypatch.setattr(TurnGate, "_mode_of", None)
    agent.let_go("second")

    assert 200 == (await play.post("second").answered()).status


async def test_an_established_conversation_does_not_let_new_ones_pass(stage: Any, agent: Agent) -> None:
    """Each conversation has a first turn of its own."""
    play = stage(mode="first")
    await play.established()
    await play.running("first", "new")
    second = await play.waiting("second", "new")

    assert ["first"] == agent.order
    assert not second.task.done()


async def test_established_conversations_beyond_the_bound_are_found_again(
    stage: Any, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The older half is kept, and a conversation in use moves to the younger one."""
    play = stage(mode="first")
    monkeypatch.setattr(play.gate._entrance.established, "_size", 1)
    await play.established()
    await play.established("b")
    await play.running("first")
    agent.let_go("second")

    assert 200 == (await play.post("second").answered()).status


async def test_what_establishes_on_one_path_is_nothing_to_wait_on_another(stage: Any, agent: Agent) -> None:
    """Turns are still taken where the mode is `wait`."""
    play = stage(paths="/brief=first,*=wait")
    await play.established()
    agent.let_go("brief")
    await play.post("brief").answered()
    await play.running("first")
    second = await play.waiting("second")

    assert ["brief", "first"] == agent.order
    assert not second.task.done()


async def test_a_first_turn_longer_than_the_timeout_lets_others_in(stage: Any, agent: Agent) -> None:
    """Having run for `wait_timeout` it counts as established, for later requests as well."""
    play = stage(mode="first", wait_timeout=0.05)
    await play.running("first")
    agent.let_go("second")
    await play.when_established()

    assert 200 == (await play.post("second").answered()).status


async def test_a_request_that_waits_too_long_is_busy(stage: Any, agent: Agent) -> None:
    """409 with the time it has waited, and a time to come back."""
    play = stage(mode="first", wait_timeout=0.2)
    await play.running("bad-1")
    await play.waiting("bad-2")
    third = await play.waiting("third")
    agent.let_go("bad-1")
    await agent.has("bad-2")
    answer = await third.answered()

    assert (409, "session_busy") == (answer.status, answer.error["code"])
    assert "first turn of this conversation has not ended" in answer.error["message"]
    assert int(answer.headers["x-sessionguard-wait-ms"]) >= 200
    assert 1 <= int(answer.headers["retry-after"]) <= 30


async def test_a_new_start_of_a_conversation_has_a_first_turn_of_its_own(stage: Any, agent: Agent) -> None:
    """After a reset the same key is another conversation."""
    play = stage(mode="first")
    await play.established()
    await play.guard.reset("a")
    await play.running("stream")
    await play.waiting("second")

    assert ["stream"] == agent.order


async def test_modes_of_one_conversation_share_a_queue(stage: Any, agent: Agent) -> None:
    """The end of a whole turn lets requests in that wait for the first turn alone, and the next whole turn."""
    play = stage(paths="/stream=wait,/whole=wait,*=first")
    await play.running("stream")
    await play.waiting("brief")
    await play.waiting("whole")
    agent.let_go("stream", "stream speaks")
    await settled()
    assert ["stream"] == agent.order
    agent.let_go("stream ends")
    await settled()

    assert ["stream", "brief", "whole"] == agent.order


class TestReady:
    """The application says itself that the session exists."""

    async def test_a_ready_header_lets_others_in_at_once(self, stage: Any, agent: Agent) -> None:
        play = stage(mode="first")
        await play.running("stream-ready")
        await play.waiting("second")
        agent.let_go("stream-ready")
        await settled()

        assert ["stream-ready", "second"] == agent.order

    async def test_the_ready_header_never_reaches_a_client(self, stage: Any, agent: Agent) -> None:
        """Neither that of the first turn nor one of an established conversation."""
        play = stage(mode="first")
        agent.let_go(*(f"stream-ready-{number}{step}" for number in range(2) for step in ("", " speaks", " ends")))
        answers = [await play.post(f"stream-ready-{number}").answered() for number in range(2)]

        assert [200, 200] == [answer.status for answer in answers]
        assert not [
            answer for answer in answers if {"x-sessionguard-ready", "X-SessionGuard-Ready"} & {*answer.headers}
        ]

    async def test_a_ready_trailer_lets_others_in_and_is_removed(self, stage: Any) -> None:
        opened = asyncio.Event()

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 500, "headers": [], "trailers": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            trailers = [(b"x-sessionguard-ready", b"1"), (b"x-other", b"2")]
            await send({"type": "http.response.trailers", "headers": trailers})
            await opened.wait()

        play = stage(mode="first")
        play.gate.door._app = play.gate._app = application
        first = play.post("first")
        await play.when_established()
        opened.set()
        await first.answered()

        assert [(b"x-other", b"2")] == first.sent[-1]["headers"]

    async def test_the_turn_can_say_so_from_a_thread(self, stage: Any, agent: Agent) -> None:
        play = stage(mode="first")
        await play.running("first")
        await play.waiting("second")
        turn = get_turn(agent.scopes["first"])
        await asyncio.to_thread(turn.ready)
        await agent.has("second")

        assert 2 == max(agent.most.values())


class TestAbandoned:
    """A client that leaves does not end the turn that its request began in the application."""

    @pytest.mark.parametrize("how", ["leaves", "is cancelled"])
    async def test_the_next_request_waits_a_moment(
        self, stage: Any, agent: Agent, monkeypatch: pytest.MonkeyPatch, how: str
    ) -> None:
        """Long enough for the application to have found the session."""
        monkeypatch.setattr(entrance, "ABANDONED_SECONDS", 0.2)
        waited: list[float] = []
        sleep = asyncio.sleep

        async def watched(seconds: float) -> None:
            waited.extend([seconds] if seconds else [])
            await sleep(0)

        monkeypatch.setattr(asyncio, "sleep", watched)
        play = stage(mode="first")
        first = await play.running("leaves")
        agent.let_go("second")
        second = await play.waiting("second")
        if how == "leaves":
            agent.let_go("leaves")
        else:
            first.task.cancel()
        await second.answered()

        assert len(waited) == 1
        assert 0 < waited[0] <= 0.2
        await asyncio.wait([first.task])


class SharedStore(MemoryStore):
    """As far as the gates know, it is shared by processes."""

    coordination = "host"


async def test_the_end_of_a_first_turn_counts_in_every_process(stage: Any, agent: Agent) -> None:
    """Requests that wait in another process are let in, and later ones there do not wait."""
    store = SharedStore()
    one, other = stage(mode="first", store=store), stage(mode="first", store=store)
    await one.running("empty")
    held = await other.waiting("second")
    assert ["empty"] == agent.order
    agent.let_go("empty")
    await agent.has("second")
    await other.running("third")

    assert not held.task.done()
    assert 2 == max(agent.most.values())


async def test_a_restarted_process_knows_established_conversations(stage: Any, agent: Agent) -> None:
    """The store remembers them, so that a long turn after a restart holds no request."""
    store = SharedStore()
    await stage(mode="first", store=store).established()
    await settled()
    restarted = stage(mode="first", store=store)
    await restarted.running("first")
    agent.let_go("second")

    assert 200 == (await restarted.post("second").answered()).status


async def test_a_failed_first_turn_is_failed_in_every_process(stage: Any, agent: Agent) -> None:
    """A process that has not seen it lets one request go first, not two."""
    store = SharedStore()
    agent.let_go("bad")
    await stage(mode="first", store=store).post("bad").answered()
    other = stage(mode="first", store=store)
    await other.running("second")
    third = await other.waiting("third")

    assert ["bad", "second"] == agent.order
    assert not third.task.done()


async def test_the_first_request_at_any_gate_goes_first(
    stage: Any, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request that reserved the id waits as well, if another came to a gate first. No plugin connects them."""
    monkeypatch.setenv("SESSIONGUARD_DISABLED_PLUGINS", "turns")
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
    await other.running("empty")
    may_go_on.set()
    await settled()
    held = list(agent.order)
    agent.let_go("empty", "opener")
    await opener.answered()

    assert ["empty"] == held
    assert "new" == agent.scopes["opener"]["sessionguard"].origin.value


async def test_an_established_conversation_still_takes_whole_turns_across_processes(stage: Any, agent: Agent) -> None:
    """The mode `wait` is not satisfied by the end of a first turn elsewhere."""
    store = SharedStore()
    one, other = (stage(paths="/empty=first,*=wait", store=store) for _ in range(2))
    agent.let_go("empty")
    await one.post("empty").answered()
    await one.running("first")
    second = await other.waiting("second")

    assert ["empty", "first"] == agent.order
    assert not second.task.done()
