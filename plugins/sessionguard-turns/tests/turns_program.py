"""Random programs of requests, cancels, departures, failures and nested calls, and what has to hold in each."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st
from sessionguard_turns import Mode, leasing
from turns_stage import Agent, Caller, Stage, settled

from sessionguard import SessionStore

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

    def check(self, mode: Mode) -> None:
        """Nobody was beside anybody else, and nothing is left: no conversation, nobody who waits."""
        turnstile = self.play.gate._entrance.turnstile
        before_sign = [session for session, most in self.agent.most_before_sign.items() if most > 1]

        assert [] == (before_sign if mode is Mode.FIRST else overlaps(self.agent))
        assert (0, 0) == (len(turnstile), turnstile._waiting)


def overlaps(agent: Agent) -> list[tuple[str, set[str]]]:
    """Conversations that had more than one turn at once; nested calls belong to the turn that made them."""
    return [(session, turns) for session, turns in agent.together.items() if len(turns) > 1]


class TwoGates(Program):
    """The same with two gates that know of each other only by a store."""

    def __init__(self, mode: Mode, stores: Sequence[SessionStore]) -> None:
        super().__init__(mode)
        self.plays = [Stage(self.agent, store=store, mode=mode, queue_limit=4) for store in stores]

    async def step(self, verb: str, what: Any, kind: str) -> None:
        self.play = self.plays[len(self.callers) % 2]
        await super().step(verb, what, kind)

    async def end(self) -> None:
        tasks = [each.task for each in self.callers.values()]
        while not all(task.done() for task in tasks):
            self.agent.let_go(*self.callers, *self.agent.order)
            await asyncio.sleep(0.001)
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*leasing._background, return_exceptions=True)

    def check(self, mode: Mode) -> None:
        """Nobody was beside anybody else, and no gate has anything left."""
        most = self.agent.most_before_sign if mode is Mode.FIRST else self.agent.most

        assert [] == [session for session, count in most.items() if count > 1]
        assert [0, 0] == [len(play.gate._entrance.turnstile) for play in self.plays]
