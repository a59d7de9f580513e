"""Mode `wait`: one turn of a conversation at a time, in the order of arrival; others wait, but not for ever."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from turns_stage import Agent, Caller, settled

from sessionguard import hookimpl


async def test_a_second_message_waits_for_the_end_of_the_first(stage: Any, agent: Agent) -> None:
    """Not only for the beginning of its answer."""
    play = stage()
    first = await play.running("stream")
    second = await play.waiting("second")
    agent.let_go("stream", "stream speaks", "second")
    await settled()
    before = list(agent.order)
    agent.let_go("stream ends")
    answers = [(await each.answered()).content for each in (first, second)]

    assert [["stream"], ["stream", "second"]] == [before, agent.order]
    assert [b"firststream", b"second"] == answers


async def test_turns_are_taken_in_the_order_of_arrival(stage: Any, agent: Agent) -> None:
    """Twelve wait; each is let in when the one before has gone."""
    play = stage()
    names = [f"turn-{number}" for number in range(13)]
    agent.let_go(*names[1:])
    callers = [await play.running(names[0]), *[await play.waiting(name) for name in names[1:]]]
    agent.let_go(names[0])
    for each in callers:
        await each.answered()

    assert names == agent.order
    assert {1} == set(agent.most.values())


async def test_different_conversations_never_wait_for_each_other(stage: Any, agent: Agent) -> None:
    """However many wait for one, the other is served at once."""
    play = stage(total_limit=3)
    await play.running("first", "a")
    for number in range(3):
        await play.waiting(f"waits-{number}", "a")
    agent.let_go("other")

    assert 200 == (await play.post("other", "b").answered()).status


async def test_requests_without_a_key_pass(stage: Any, agent: Agent) -> None:
    """They belong to no conversation."""
    play = stage()
    await play.running("first", None)
    agent.let_go("second")

    assert "x-sessionguard-wait-ms" not in (await play.post("second", None).answered()).headers


class Internals:
    """Takes every request on /internal* for an internal handoff."""

    @hookimpl
    def sessionguard_suppress_visible_effects(self, scope: Any) -> bool:
        return scope["path"].startswith("/internal")


async def test_internal_handoffs_pass(stage: Any, agent: Agent) -> None:
    """With a row and without one; what runs behind the scenes neither waits nor is waited for."""
    play = stage(plugins=(Internals(),))
    await play.running("first")
    agent.let_go("internal-with-a-row", "internal-without", "second")
    origins = []
    for name, key in (("internal-with-a-row", "a"), ("internal-without", "b")):
        await play.post(name, key).answered()
        origins.append(agent.scopes[name]["sessionguard"].origin.value)
    await play.running("internal-running", "c")

    assert ["existing", "ephemeral"] == origins
    assert 200 == (await play.post("second", "c").answered()).status


async def test_a_failed_turn_is_over(stage: Any, agent: Agent) -> None:
    """The exception is the application's, and the next one is let in."""
    play = stage()
    first = await play.running("fail")
    second = await play.waiting("second")
    agent.let_go("fail", "second")

    with pytest.raises(RuntimeError, match="fail"):
        await first.answered()
    assert 200 == (await second.answered()).status


async def test_a_wait_that_takes_too_long_is_busy(stage: Any, agent: Agent) -> None:
    """409 with the time to come again, and no trace in the queue."""
    play = stage(wait_timeout=0.05)
    first = await play.running("first")
    second = await play.post("second").answered()
    third = await play.waiting("third")
    agent.let_go("first", "third")
    await first.answered()
    await third.answered()

    assert (409, "session_busy") == (second.status, second.error["code"])
    assert 1 <= int(second.headers["retry-after"]) <= 30
    assert "x-sessionguard-turn" in second.error["message"]
    assert ["first", "third"] == agent.order


async def test_busy_is_said_as_a_problem_where_that_is_understood(stage: Any) -> None:
    """Both renderings of an error are those of the guard."""
    play = stage(mode="reject")
    await play.running("first")
    answer = await play.post("second", headers={"accept": "application/problem+json"}).answered()

    assert "application/problem+json" == answer.headers["content-type"]
    assert b'"code": "session_busy"' in answer.content
    assert b'"title": "Conflict"' in answer.content


async def test_reject_answers_at_once(stage: Any, agent: Agent) -> None:
    """Busy is busy; when the turn is over, the next one is welcome."""
    play = stage(mode="reject")
    first = await play.running("first")
    busy = await play.post("second").answered()
    agent.let_go("first", "third")
    await first.answered()

    assert (409, "session_busy", "conflict") == (busy.status, busy.error["code"], busy.error["type"])
    assert 200 == (await play.post("third").answered()).status


@pytest.mark.parametrize(
    ("limits", "keys", "word"),
    [({"queue_limit": 2}, "aaaa", "this conversation"), ({"total_limit": 2}, "aaabb", "wait here")],
    ids=["one conversation", "all together"],
)
async def test_whoever_is_too_many_is_told_at_once(stage: Any, limits: dict[str, int], keys: str, word: str) -> None:
    """The queue has an end, for one conversation and for all together."""
    play = stage(**limits)
    *callers, last = [await play.waiting(f"turn-{number}", key) for number, key in enumerate(keys)]
    answered = [each.task.done() for each in callers]
    assert not any(answered)
    await last.answered()
    for each in callers:
        each.task.cancel()
    await asyncio.gather(*(each.task for each in callers), return_exceptions=True)

    assert (409, "session_busy") == (last.status, last.error["code"])
    assert word in last.error["message"]


async def test_a_websocket_is_refused_before_it_is_accepted(stage: Any) -> None:
    """With a close that says when there is no better way, and with a response where the server offers one."""
    play = stage(mode="reject")
    await play.running("first")
    plain = await play.post("second", body=None, type="websocket").answered()
    extension = {"extensions": {"websocket.http.response": {}}}
    better = await play.post("third", body=None, type="websocket", **extension).answered()

    assert [{"type": "websocket.close", "code": 1013, "reason": "session_busy"}] == plain.sent
    assert ("websocket.http.response.start", 409) == (better.sent[0]["type"], better.status)


async def test_a_websocket_takes_its_turn(stage: Any, agent: Agent) -> None:
    """Its handshake waits, and its connection is the turn."""
    play = stage()
    first = await play.running("first", body=None, type="websocket")
    second = await play.waiting("second", body=None, type="websocket")
    assert ["first"] == agent.order
    agent.let_go("first", "second")
    await first.answered()
    await second.answered()

    assert ["websocket.accept", "websocket.send", "websocket.close"] == [message["type"] for message in second.sent]


def test_event_loops_of_one_process_share_the_turns(stage: Any, agent: Agent) -> None:
    """A request in one thread's loop waits for one in another's and is woken when that has ended."""
    play = stage()
    inside, may_end = threading.Event(), threading.Event()
    order: list[str] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        order.append(scope["path"])
        if scope["path"] == "/first":
            inside.set()
            await asyncio.to_thread(may_end.wait, 10)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    play.gate._app = application

    async def call(name: str) -> int:
        return (await Caller(play.guard, name, "a", {}).body(b"").answered()).status

    async def second() -> int:
        caller = Caller(play.guard, "second", "a", {}).body(b"")
        await settled()
        assert ["/first"] == order
        may_end.set()
        return (await caller.answered()).status

    statuses: list[int] = []
    thread = threading.Thread(target=lambda: statuses.append(asyncio.run(call("first"))))
    thread.start()
    inside.wait(10)
    statuses.append(asyncio.run(second()))
    thread.join(10)

    assert [200, 200] == statuses
    assert ["/first", "/second"] == order
