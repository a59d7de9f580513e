"""What turns must be on a store that is a server: it calls who is next, and it can be away."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sessionguard_turns import Mode, asking, leasing
from turns_fleet import FleetContract, Serve, client
from turns_journal import Journal
from turns_program import STEP, TwoGates
from turns_stage import Agent, Stage

from sessionguard import SessionStore
from sessionguard.testing import Exchange
from sessionguard.testing.opening import open_store

AWAY_SECONDS = 0.5


class OutageContract(FleetContract):
    """Override `database` with a server of one's own, that has `stop` and `start`, and `deaf_url` as well."""

    @pytest.fixture
    def database(self) -> Any:
        """The server behind `store_url`."""
        raise NotImplementedError

    @pytest.fixture
    def deaf_url(self) -> str:
        """The URL of the same store for those who hear nothing."""
        raise NotImplementedError

    @pytest.mark.parametrize("took", [300, 4000], ids=["a turn that ends meanwhile", "a turn that outlives it"])
    async def test_those_who_wait_survive_a_crash_of_the_server(
        self, serve: Serve, journal: Journal, database: Any, took: int
    ) -> None:
        """It is killed and started again; the turn has its lease still, and then the others have theirs, in order."""
        first, second = serve(), serve()
        async with client() as http:
            asked = [asyncio.ensure_future(http.post(f"{first.url}/one?{took}"))]
            await asyncio.to_thread(journal.has, "begins one")
            for name, server in [("two", second), ("three", first)]:
                asked.append(asyncio.ensure_future(http.post(f"{server.url}/{name}?50")))
                await asyncio.sleep(0.1)
            await asyncio.to_thread(database.stop, signal.SIGKILL)
            await asyncio.sleep(AWAY_SECONDS)
            await asyncio.to_thread(database.start)
            answers = await asyncio.gather(*asked)
        events = journal.after("ends three")

        assert [200] * 3 == [each.status_code for each in answers]
        assert [] == journal.overlaps()
        assert ["begins one", "ends one", "begins two", "ends two", "begins three", "ends three"] == events

    async def test_who_comes_while_the_server_is_away_is_told_so(
        self, serve: Serve, journal: Journal, database: Any
    ) -> None:
        """503 soon, and never beside the turn under way."""
        first, second = serve(), serve()
        async with client() as http:
            running = asyncio.ensure_future(http.post(f"{first.url}/one?6000"))
            await asyncio.to_thread(journal.has, "begins one")
            await asyncio.to_thread(database.stop, signal.SIGKILL)
            late = await asyncio.gather(*(http.post(f"{each.url}/two", timeout=20) for each in (first, second)))
            await asyncio.to_thread(database.start)
            await running

        assert 503 == late[1].status_code
        assert late[0].status_code in (200, 503), "who waits for a turn of the same process may have it afterwards"
        assert [] == journal.overlaps()

    async def test_who_waits_is_called_and_asks_no_more_than_it_must(
        self, store_url: str, database: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A few times in two seconds, most of them to keep the place in the queue."""
        asked, stage = await self._wait(store_url, monkeypatch)

        assert 2 <= asked <= 6
        assert ["first", "second"] == stage.agent.order

    async def test_who_hears_nothing_asks_again_and_again(
        self, deaf_url: str, database: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And has its turn all the same."""
        asked, stage = await self._wait(deaf_url, monkeypatch)

        assert asked > 12
        assert ["first", "second"] == stage.agent.order

    async def _wait(self, url: str, monkeypatch: pytest.MonkeyPatch) -> tuple[int, Stage]:
        """Let a second turn wait for two seconds, in another gate; return how often it asked, and its stage."""
        agent = Agent()
        stores = [open_store(url), open_store(url)]
        one, other = (Stage(agent, store=store) for store in stores)
        first = await one.running("first")
        counted = count_calls(stores[1], "acquire", monkeypatch)
        second = other.post("second")
        await asyncio.sleep(2)
        asked = len(counted)
        agent.let_go("first", "second")
        await asyncio.gather(first.answered(), second.answered())
        await asyncio.gather(*leasing._background)
        await asyncio.gather(leave(one), leave(other))
        return asked, other

    @pytest.mark.parametrize("mode", [Mode.WAIT, Mode.FIRST])
    def test_turns_of_two_gates_never_overlap_whatever_happens(
        self, mode: Mode, store_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Requests that are cancelled, fail or are left, at whichever moment of a question on its way."""
        monkeypatch.setattr(asking, "LONGEST_PAUSE", 0.01)
        tried = 0

        @settings(max_examples=25, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(st.lists(STEP.filter(lambda step: step[0] != "nested"), min_size=5, max_size=30))
        def judge(steps: list[tuple[str, Any, str]]) -> None:
            async def run() -> None:
                nonlocal tried
                stores = [open_store(store_url), open_store(store_url)]
                program = TwoGates(mode, stores)
                await forget_all(stores[0])
                for step in steps:
                    await program.step(*step)
                    await asyncio.sleep(0.0005)
                await program.end()
                tried += len(program.agent.order)
                program.check(mode)
                await asyncio.gather(*map(leave, program.plays))

            asyncio.run(run())

        judge()
        assert tried > 25


def count_calls(store: SessionStore, verb: str, monkeypatch: pytest.MonkeyPatch) -> Sequence[object]:
    """Note every call of a verb that goes through."""
    original: Callable[..., Any] = getattr(store, verb)
    calls: list[object] = []

    async def counted(*arguments: Any, **options: Any) -> Any:
        calls.append(arguments)
        return await original(*arguments, **options)

    monkeypatch.setattr(store, verb, counted)
    return calls


async def leave(stage: Stage) -> None:
    """Let the guard write its signs of life and close its store, as at the end of a server."""
    await Exchange(stage.guard, type="lifespan").run()


async def forget_all(store: SessionStore) -> None:
    """Let the next program begin with new conversations."""
    for key, record in [pair async for pair in store.scan()]:
        await store.forget(key, record.session_id)
