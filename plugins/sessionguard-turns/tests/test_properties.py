"""Random programs of requests, cancels, departures, failures and nested calls: two turns never overlap."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sessionguard_turns import Mode, asking
from turns_program import STEP, Program, TwoGates

from sessionguard import LeaseAnswer
from sessionguard.stores.memory import MemoryStore

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("mode", [Mode.WAIT, Mode.REJECT, Mode.FIRST])
def test_turns_never_overlap_whatever_happens(mode: Mode) -> None:
    """Where only the first one is to be alone: until the application has given a sign."""
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
            program.check(mode)

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
            store = SharedStore()
            program = TwoGates(mode, [store, store])
            for step in steps:
                await program.step(*step)
            await program.end()
            tried += len(program.agent.order)
            program.check(mode)

            assert [] == [row for row in store._leases.values() if row.lease or row.queue]

        asyncio.run(run())

    judge()
    assert tried > 30
