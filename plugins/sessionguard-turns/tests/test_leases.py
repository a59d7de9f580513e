"""The way to a lease and back, on a store that is slow, away, or says what it lacks."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sessionguard_turns import asking, entrance, leasehold, leasing
from turns_stage import Agent, Stage, settled

from sessionguard import ConfigurationError, Lease, LeaseAnswer, StoreUnavailable
from sessionguard.store import wall_clock
from sessionguard.stores.memory import MemoryStore


class FarStore(MemoryStore):
    """As far as the gates know, it is shared by processes. It can be away, and questions can be held up on their way.

    Who asks `between` comes as a lease has been given back, before the gate that had it hears that it was.
    """

    coordination = "host"

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, str]] = []
        self.failure: Exception | None = None
        self.renewed = asyncio.Event()
        self._expected, self._all_came = 0, asyncio.Event()
        self.between: str | None = None
        self.answered: list[LeaseAnswer] = []
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()

    async def acquire(self, name: str, owner: str, duration: int, *, waited: int | None = None) -> LeaseAnswer:
        await self.may_go_on.wait()
        await self._call("acquire", owner)
        return await super().acquire(name, owner, duration, waited=waited)

    async def release(self, name: str, owner: str, *, settled_for: int = 0) -> bool:
        await self._call("release", owner)
        released = await super().release(name, owner, settled_for=settled_for)
        between, self.between = self.between, None
        if between is not None:
            self.answered.append(await super().acquire(name, between, 60_000, waited=0))
        return released

    async def renew(self, name: str, owner: str, duration: int) -> Lease | None:
        lease = await super().renew(name, owner, duration)
        self.renewed.set()
        return lease

    async def _call(self, verb: str, owner: str) -> None:
        self.calls.append((verb, owner))
        self._expected -= verb == "acquire"
        if self._expected == 0:
            self._all_came.set()
        if self.failure is not None:
            raise self.failure

    def expect_questions(self, number: int) -> asyncio.Event:
        """Return what happens when so many more have come."""
        self._expected, self._all_came = number, asyncio.Event()
        return self._all_came

    @property
    def leases(self) -> list[object]:
        return [row for row in self._leases.values() if row.lease or row.queue]


@pytest.fixture
async def store() -> FarStore:
    return FarStore()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "LONGEST_PAUSE", 0.01)
    monkeypatch.setattr(leasehold, "SHORTEST_PAUSE", 0.01)
    monkeypatch.setattr(leasehold, "LONGEST_PAUSE", 0.01)


async def everything_is_given_back() -> None:
    here = asyncio.get_running_loop()
    while giving_back := [task for task in leasing._background if task.get_loop() is here]:
        done, _ = await asyncio.wait(giving_back, timeout=10)
        assert done


async def test_who_comes_while_the_store_is_away_is_told_so(
    stage: Any, agent: Agent, store: FarStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a moment in which it might come back, and without a turn."""
    monkeypatch.setattr(asking, "OUTAGE", 0.1)
    play: Stage = stage(store=store, lease_time=0.5)
    store.failure = StoreUnavailable("away")
    first = await play.post("first").answered()
    await everything_is_given_back()

    assert (503, "session_store_unavailable") == (first.status, first.error["code"])
    assert [] == agent.order
    assert len([verb for verb, _ in store.calls if verb == "acquire"]) > 1


async def test_a_store_that_comes_back_in_time_was_never_missed(stage: Any, agent: Agent, store: FarStore) -> None:
    """The question is repeated for the same owner, whose lease it may be already."""
    play: Stage = stage(store=store)
    store.failure = StoreUnavailable("away")
    first = await play.waiting("first")
    await asyncio.sleep(0.05)
    store.failure = None
    agent.let_go("first")

    assert 200 == (await first.answered()).status
    assert 1 == len({owner for _, owner in store.calls})


@pytest.mark.parametrize(("patience", "status"), [(10.0, 200), (0.1, 503)], ids=["shorter", "longer"])
async def test_who_waits_goes_on_waiting_while_the_store_is_away(
    stage: Any, agent: Agent, store: FarStore, monkeypatch: pytest.MonkeyPatch, patience: float, status: int
) -> None:
    """For longer than who has just come, but not for ever."""
    monkeypatch.setattr(asking, "OUTAGE", 0.05)
    monkeypatch.setattr(asking, "OUTAGE_WAITING", patience)
    one, other = stage(store=store, lease_time=0.5), stage(store=store, lease_time=0.5)
    first = await one.running("first")
    second = other.post("second")
    await asyncio.wait_for(store.expect_questions(2).wait(), 10)
    store.failure = StoreUnavailable("away")
    agent.let_go("first", "second")
    await asyncio.wait_for(store.expect_questions(5).wait(), 10)
    if status == 503:
        await second.answered()
    store.failure = None
    await first.answered()

    assert status == (await second.answered()).status
    await everything_is_given_back()
    assert [] == store.leases


async def test_a_lease_is_given_back_when_the_store_is_there_again(stage: Any, agent: Agent, store: FarStore) -> None:
    """And not thirty seconds later, when it would have ended by itself."""
    one, other = stage(store=store), stage(store=store)
    await one.running("first")
    store.failure = StoreUnavailable("away")
    agent.let_go("first", "second")
    await asyncio.sleep(0.1)
    store.failure = None
    second = await other.post("second").answered()

    assert 200 == second.status


async def test_the_next_request_of_the_process_does_not_wait_for_a_store_that_is_away(
    stage: Any, agent: Agent, store: FarStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It finds out for itself."""
    monkeypatch.setattr(entrance, "LEAVING_SECONDS", 0.05)
    monkeypatch.setattr(asking, "OUTAGE_WAITING", 0.1)
    monkeypatch.setattr(asking, "OUTAGE", 0.1)
    play: Stage = stage(store=store)
    first = await play.running("first")
    second = await play.waiting("second")
    store.failure = StoreUnavailable("away")
    agent.let_go("first")
    await first.answered()

    # The lease would be given back, or run out, in half a minute.
    assert 503 == (await second.answered()).status
    store.failure = None
    await everything_is_given_back()


async def test_what_an_operator_has_to_mend_is_logged_and_503(
    stage: Any, agent: Agent, store: FarStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A missing table, for instance; the client learns nothing of it."""
    monkeypatch.setattr(asking, "OUTAGE", 0.05)
    play: Stage = stage(store=store, lease_time=0.5)
    store.failure = ConfigurationError("there is no table; run store init")
    first = await play.post("first").answered()
    await everything_is_given_back()

    assert 503 == first.status
    assert "init" not in first.content.decode()
    assert "the leases of the session store cannot be used: there is no table; run store init" in caplog.text


async def test_a_request_that_is_cancelled_between_question_and_answer_leaves_no_lease(
    stage: Any, agent: Agent, store: FarStore
) -> None:
    """The question may be on its way still; giving the lease back waits for it."""
    play: Stage = stage(store=store)
    store.may_go_on.clear()
    first = await play.waiting("first")
    first.task.cancel()
    await asyncio.wait([first.task])
    await settled()
    store.may_go_on.set()
    await everything_is_given_back()

    assert ["acquire", "release"] == [verb for verb, _ in store.calls]
    assert [] == store.leases


async def test_the_lease_of_a_turn_that_runs_is_renewed(stage: Any, agent: Agent, store: FarStore) -> None:
    """For as long as it runs; in another process the next one waits, however long that is."""
    one, other = stage(store=store, lease_time=0.6), stage(store=store, lease_time=0.6)
    now = wall_clock()
    store._clock = lambda: now
    await one.running("first")
    second = await other.waiting("second")
    for _ in range(4):
        store.renewed.clear()
        await asyncio.wait_for(store.renewed.wait(), 10)
        now += 400
    await asyncio.wait_for(store.expect_questions(3).wait(), 10)

    assert ["first"] == agent.order
    assert not second.task.done()


async def test_a_long_wait_for_another_process_is_logged_without_the_key(
    stage: Any, agent: Agent, store: FarStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Once, with the position, and for how long the turn over there has been running."""
    monkeypatch.setattr(asking, "LONG_WAIT", 0.05)
    one, other = stage(store=store), stage(store=store)
    await one.running("first", "my-secret-chat")
    asked = store.expect_questions(20)
    await other.waiting("second", "my-secret-chat")
    await asyncio.wait_for(asked.wait(), 10)
    lines = [message for message in caplog.messages if "has waited" in message]

    assert 1 == len(lines)
    assert "now at position 1; the turn under way has taken " in lines[0]
    assert "my-secret-chat" not in caplog.text
    assert agent.scopes["first"]["session_id"] not in caplog.text


async def test_where_nothing_is_heard_questions_are_asked_at_jittered_intervals(
    stage: Any, agent: Agent, store: FarStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That grow to a tenth of a second, so that those who wait in many processes do not ask all at once."""
    pauses: list[float] = []

    async def pause(ahead: object, seconds: float, called: object = None) -> None:
        pauses.append(seconds)
        await asyncio.sleep(0)

    monkeypatch.setattr(asking, "pause", pause)
    monkeypatch.setattr(asking, "LONGEST_PAUSE", 0.1)
    one, other = stage(store=store), stage(store=store)
    await one.running("first")
    asked = store.expect_questions(30)
    other.post("second")
    await asyncio.wait_for(asked.wait(), 10)

    assert all(0.5 * asking.SHORTEST_PAUSE <= seconds <= 1.5 * 0.1 for seconds in pauses)
    assert pauses[0] <= 1.5 * asking.SHORTEST_PAUSE
    assert min(pauses[10:]) >= 0.5 * 0.1
    assert len({*pauses[10:]}) > 5


async def test_who_is_next_in_the_process_has_its_place_before_the_lease_is_free(
    stage: Any, agent: Agent, store: FarStore
) -> None:
    """Else somebody who came later, but asks already, would be before it."""
    one, other = stage(store=store), stage(store=store)
    await one.running("first")
    second = await one.waiting("second")
    await asyncio.sleep(0.005)  # The order of a queue is by milliseconds.
    third = await other.waiting("third")
    agent.let_go("first")
    await agent.has("second")
    agent.let_go("second", "third")
    await asyncio.gather(second.answered(), third.answered())
    await everything_is_given_back()

    assert ["first", "second", "third"] == agent.order
    assert [] == store.leases


async def test_who_asks_as_the_lease_is_given_back_does_not_push_in(stage: Any, agent: Agent, store: FarStore) -> None:
    """Who waits in the process that had it has come before; its place is there already."""
    play: Stage = stage(store=store)
    await play.running("first")
    await play.waiting("second")
    await asyncio.sleep(0.005)  # The order of a queue is by milliseconds.
    store.between = "another"
    agent.let_go("first")
    await agent.has("second")

    assert [False] == [answer.granted for answer in store.answered]


async def test_a_conversation_is_busy_in_every_process(stage: Any, agent: Agent, store: FarStore) -> None:
    """`reject` answers at once, and knows how long the turn has been running elsewhere."""
    one, other = stage(store=store), stage(store=store, mode="reject")
    first = await one.running("first")
    busy = await other.post("second").answered()
    agent.let_go("first", "third")
    await first.answered()
    await everything_is_given_back()
    welcome = await other.post("third").answered()

    assert (409, "session_busy") == (busy.status, busy.error["code"])
    assert 1 <= int(busy.headers["retry-after"]) <= 30
    assert 200 == welcome.status


async def test_a_wait_for_another_process_is_over_in_time(stage: Any, agent: Agent, store: FarStore) -> None:
    """409, as within a process."""
    one, other = stage(store=store), stage(store=store, wait_timeout=0.1)
    await one.running("first")
    busy = await other.post("second").answered()

    assert 409 == busy.status
    assert int(busy.headers["x-sessionguard-wait-ms"]) >= 100


@pytest.mark.parametrize("steps", range(12))
async def test_a_place_that_was_kept_for_somebody_who_has_left_is_given_up(
    stage: Any, agent: Agent, store: FarStore, steps: int
) -> None:
    """At whichever moment; nobody waits for the dead."""
    play: Stage = stage(store=store)
    first = await play.running("first")
    second = await play.waiting("second")
    agent.let_go("first")
    await asyncio.wait([first.task])
    for _ in range(steps):
        await asyncio.sleep(0)
    second.task.cancel()
    await asyncio.wait([second.task])
    await everything_is_given_back()

    assert [] == store.leases
    assert 0 == len(play.gate._entrance.turnstile)
