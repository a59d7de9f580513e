"""Thousands of schedules with a faulty wire, crashes and wrong clocks, played in no time and judged."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest

from sessionguard import Reservation, SessionRecord, StoreUnavailable
from sessionguard.attempts import StoreAttempts
from sessionguard.liveness import Liveness
from sessionguard.resolver import SessionResolver
from sessionguard.stores.memory import MemoryStore
from sessionguard.testing.simulated_loop import SimulatedLoop
from sessionguard.testing.simulation import REQUEST, Answer, World, main, simulate

Mutation = Callable[[pytest.MonkeyPatch], None]


@pytest.mark.slow
def test_the_law_holds_in_every_schedule(capsys: pytest.CaptureFixture[str]) -> None:
    """A few hundred here; the long tier plays as many as it is told to."""
    assert main(300) == 0
    assert "300 schedules" in capsys.readouterr().out


@pytest.mark.parametrize("seed", [7, 4242])
def test_a_seed_replays_exactly(seed: int) -> None:
    """The same requests, answers and generations, step by step."""
    assert simulate(seed) == simulate(seed)


def blind_put(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SessionRecord, "may_be_replaced", lambda self, observed: True)


def hands_out_its_candidate_when_nobody_answers(patch: pytest.MonkeyPatch) -> None:
    reserve = StoreAttempts.reserve

    async def optimistic(self: StoreAttempts, key: str, candidate_id: str, replacing: Any, deadline: float) -> Any:
        try:
            return await reserve(self, key, candidate_id, replacing, deadline)
        except StoreUnavailable:
            return Reservation(SessionRecord(candidate_id, 0, 0), True, 0)

    patch.setattr(StoreAttempts, "reserve", optimistic)


def believes_its_own_clock(patch: pytest.MonkeyPatch) -> None:
    async def is_fresh(self: Liveness, request: Any, record: SessionRecord, *_: object) -> bool:
        return self.judge(request, record, self._clock())

    patch.setattr(Liveness, "is_fresh", is_fresh)


def touches_whoever_stands(patch: pytest.MonkeyPatch) -> None:
    async def touch(self: MemoryStore, updates: Any) -> None:
        for update in updates:
            self._rows[update.key] = SessionRecord(update.session_id, 0, self._clock())

    patch.setattr(MemoryStore, "touch", touch)


def remembers_without_looking(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SessionResolver, "still_holds", lambda self, established: established.until > 0)


@pytest.mark.parametrize(
    "mutation",
    [
        blind_put,
        remembers_without_looking,
        hands_out_its_candidate_when_nobody_answers,
        believes_its_own_clock,
        touches_whoever_stands,
    ],
    ids=lambda mutation: mutation.__name__,
)
def test_a_schedule_finds_code_that(mutation: Mutation, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a few thousand seeds, and again from the seed alone."""
    mutation(monkeypatch)
    found = next(seed for seed in range(5000) if simulate(seed).faults)

    assert simulate(found).faults


def test_the_seed_that_broke_the_law_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With what was wrong."""
    blind_put(monkeypatch)

    assert main(10) == 1
    assert re.search(r"^seed=\d: id-\d+ was alive when id-\d+ replaced it$", capsys.readouterr().out, re.MULTILINE)


def test_every_way_to_break_the_law_is_a_fault() -> None:
    """An id that did not stand, processes that do not agree, a private id that is somebody else's."""
    world = World(0)
    world.store.stood = ["", "first", "second"]
    world.verdict.answers = [Answer("first", 0, 1), Answer("first", 2, 2)]
    world._private = ["second"]
    world._judge({"first"})

    assert [fault.split(",")[0].split(":")[0] for fault in world.verdict.faults] == [
        "first was handed out while it did not stand",
        "in calm the processes say ['first']",
        "an ephemeral id was given to somebody else",
    ]


def test_what_was_played_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    """Also when that is nothing."""
    assert main(0) == 0
    assert capsys.readouterr().out == "0 schedules, 0 requests, 0 generations: 0 broken\n"


def test_a_request_that_fails_in_any_other_way_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only 503 is an answer to a store that does not answer."""

    async def broken(self: SessionResolver, request: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(SessionResolver, "resolve", broken)
    loop = SimulatedLoop()
    world = World(3)
    loop.run_until_complete(world._burst(world._process(), [REQUEST], resets=False))
    loop.close()

    assert world.verdict.faults == ["a request failed with ZeroDivisionError()"]


def test_a_loop_in_which_everybody_waits_says_so() -> None:
    """A deadlock is an error, not a hang."""
    loop = SimulatedLoop()

    async def wait_for_ever() -> None:
        await asyncio.get_running_loop().create_future()

    task = loop.create_task(wait_for_ever())
    with pytest.raises(RuntimeError, match="everybody waits"):
        loop.run_until_complete(task)
    task.cancel()
    loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
    loop.close()
