"""Random programs of requests, cancels, departures, failures and nested calls: two turns never overlap."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sessionguard_turns import Mode, asking, leasehold
from turns_stage import Agent, Caller, Stage, settled

from sessionguard import LeaseAnswer
from sessionguard.stores.memory import MemoryStore

KEYS = ("a", "b")
STEP = st.one_of(
    st.tuples(st.just("post"), st.sampled_from(KEYS), st.sampled_from(["turn", "fail", "bad", "empty"])),
    st.tuples(st.sampled_from(["cancel", "leave", "let go", "let go", "nested"]), st.integers(0, 30), st.just("")),
    st.tuples(st.just("step"), st.integers(1, 4), st.just("")),
)


class Program:
    """Runs the steps, and looks at the agent after each."""

    def __init__(self, mode: Mode) -> None:
        self.agent = Agent()
        self.play = Stage(self.agent, mode=mode, queue_limit=4, wait_timeout=60)
        self.callers: dict[str, Caller] = {}
        self.nested = 0

    async def step(self, verb: str, what: Any, kind: str) -> None:
        if verb == "post":
            name = f"{kind}-{len(self.callers)}"
            self.callers[name] = self.play.post(name, what)
        elif verb == "step":
            for _ in range(what):
                await asyncio.sleep(0)
        elif self.callers:
            name = list(self.callers)[what % len(self.callers)]
            await self._meddle(verb, name, self.callers[name])

    async def _meddle(self, verb: str, name: str, caller: Caller) -> None:
        if verb == "cancel":
            caller.task.cancel()
        elif verb == "leave":
            caller.leave()
        elif verb == "let go":
            self.agent.let_go(name)
        elif name in self.agent.order and not caller.task.done():
            turn = self.agent.scopes[name]["sessionguard.turn"]
            inner = self.play.post(f"nested-{len(self.callers)}-{name}", "a", headers=turn.headers if turn else {})
            self.callers[f"nested-{len(self.callers)}-{name}"] = inner

    async def end(self) -> None:
        self.agent.let_go(*self.callers)
        for _ in range(len(self.callers) + 1):
            self.agent.let_go(*self.agent.order)
            await settled()
        outcomes = await asyncio.gather(*(each.task for each in self.callers.values()), return_exceptions=True)
        assert all(isinstance(each, (type(None), RuntimeError, asyncio.CancelledError)) for each in outcomes)


def overlaps(agent: Agent) -> list[tuple[str, set[str]]]:
    """Conversations that had more than one turn at once; nested calls belong to the turn that made them."""
    return [(session, turns) for session, turns in agent.together.items() if len(turns) > 1]


@pytest.mark.parametrize("mode", [Mode.WAIT, Mode.REJECT])
def test_turns_never_overlap_whatever_happens(mode: Mode) -> None:
    """And in the end nothing is left: no conversation, nobody who waits."""
    tried = 0

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(STEP, max_size=40))
    def judge(steps: list[tuple[str, Any, str]]) -> None:
        async def run() -> None:
            nonlocal tried
            program = Program(mode)
            for step in steps:
                await program.step(*step)
            await program.end()
            tried += len(program.agent.order)

            assert [] == overlaps(program.agent)
            assert 0 == len(program.play.gate._entrance.turnstile)
            assert 0 == program.play.gate._entrance.turnstile._waiting

        asyncio.run(run())

    judge()
    assert tried > 100


def test_only_one_goes_first_whatever_happens() -> None:
    """Until the application has given a sign, at most one request of a conversation is with it."""
    tried = 0

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(STEP, max_size=40))
    def judge(steps: list[tuple[str, Any, str]]) -> None:
        async def run() -> None:
            nonlocal tried
            program = Program(Mode.FIRST)
            for step in steps:
                await program.step(*step)
            await program.end()
            tried += len(program.agent.order)

            assert [] == [session for session, most in program.agent.most_before_sign.items() if most > 1]
            assert 0 == len(program.play.gate._entrance.turnstile)
            assert 0 == program.play.gate._entrance.turnstile._waiting

        asyncio.run(run())

    judge()
    assert tried > 100


class SharedStore(MemoryStore):
    """As far as the gates know, it is shared by processes; every verb has an await before it and one behind it."""

    coordination = "host"

    async def acquire(self, *arguments: Any, **options: Any) -> LeaseAnswer:
        await asyncio.sleep(0)
        answer = await super().acquire(*arguments, **options)
        await asyncio.sleep(0)
        return answer

    async def release(self, *arguments: Any, **options: Any) -> bool:
        await asyncio.sleep(0)
        released = await super().release(*arguments, **options)
        await asyncio.sleep(0)
        return released


class TwoGates(Program):
    """The same with two gates that know of each other only by a store."""

    def __init__(self, mode: Mode) -> None:
        super().__init__(mode)
        self.store = SharedStore()
        self.plays = [Stage(self.agent, store=self.store, mode=mode, queue_limit=4) for _ in range(2)]

    async def step(self, verb: str, what: Any, kind: str) -> None:
        self.play = self.plays[len(self.callers) % 2]
        await super().step(verb, what, kind)

    async def end(self) -> None:
        tasks = [each.task for each in self.callers.values()]
        while not all(task.done() for task in tasks):
            self.agent.let_go(*self.callers, *self.agent.order)
            await asyncio.sleep(0.001)
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*leasehold._background, return_exceptions=True)


@pytest.mark.parametrize("mode", [Mode.WAIT, Mode.REJECT, Mode.FIRST])
def test_turns_of_two_gates_on_one_store_never_overlap_whatever_happens(
    mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests are cancelled between a question and its answer, too; and no lease is left behind."""
    monkeypatch.setattr(asking, "LONGEST_PAUSE", 0.005)
    tried = 0

    @settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(STEP.filter(lambda step: step[0] != "nested"), max_size=30))
    def judge(steps: list[tuple[str, Any, str]]) -> None:
        async def run() -> None:
            nonlocal tried
            program = TwoGates(mode)
            for step in steps:
                await program.step(*step)
            await program.end()
            tried += len(program.agent.order)
            most = program.agent.most_before_sign if mode is Mode.FIRST else program.agent.most

            assert [] == [session for session, count in most.items() if count > 1]
            assert [0, 0] == [len(play.gate._entrance.turnstile) for play in program.plays]
            assert [] == [row for row in program.store._leases.values() if row.lease or row.queue]

        asyncio.run(run())

    judge()
    assert tried > 30
