"""What turns must be on a store that is a server: it calls who is next, and it can be away."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from live import LiveServer
from sessionguard_turns import Mode, asking, leasing
from turns_fleet import FleetContract, Hold, client, present, until
from turns_journal import Journal
from turns_program import STEP, TwoGates
from turns_stage import Agent, Stage

from sessionguard import SessionStore
from sessionguard.testing import Exchange
from sessionguard.testing.opening import open_store

AWAY_SECONDS = 0.5


class OutageContract(FleetContract):
    """Override `database` with a server of one's own, that has `stop` and `start`, and `deaf_url` as well."""

    @pytest.fixture(scope="class")
    @classmethod
    def database(cls) -> Any:
        """The server behind `store_url`."""
        raise NotImplementedError

    @pytest.fixture
    def deaf_url(self) -> str:
        """The URL of the same store for those who hear nothing."""
        raise NotImplementedError

    async def test_those_who_wait_survive_a_crash_of_the_server(
        self, fleet: list[LiveServer], start: Any, database: Any, tmp_path: Path
    ) -> None:
        """It is killed and started again; the turn has its lease still, and then the others have theirs.

        One turn ends while the server is away, one outlives that. Places in the queue may lapse while it is away.
        """
        first, second = fleet
        keys = ["ends-meanwhile", "outlives"]
        holds = [Hold(tmp_path / key) for key in keys]
        journals = [Journal(start.journal, key) for key in keys]
        asked: list[asyncio.Future[httpx.Response]] = []
        async with client() as http:

            def ask(server: LiveServer, key: str, name: str, **headers: str) -> None:
                headers = {"x-openclaw-session-key": key, **headers}
                asked.append(asyncio.ensure_future(http.post(f"{server.url}/{name}", headers=headers)))

            for key, hold, journal in zip(keys, holds, journals, strict=True):
                ask(first, key, "one", **hold.headers)
                await asyncio.to_thread(journal.has, "begins one")
            for name, server, counts in [("two?50", second, [1, 2]), ("three?50", first, [3, 4])]:
                for key, count in zip(keys, counts, strict=True):
                    ask(server, key, name)
                    await present(server, count)
            await asyncio.sleep(asking.OUTAGE)  # Who has just come would not wait for the server for long.
            await asyncio.to_thread(database.stop, signal.SIGKILL)
            holds[0].release()
            await asyncio.sleep(AWAY_SECONDS)
            await asyncio.to_thread(database.start)
            holds[1].release()
            answers = await asyncio.gather(*asked)
        assert [200] * 6 == [each.status_code for each in answers]
        for journal in journals:
            await asyncio.to_thread(journal.has_ended, 3)
            events = journal.events

            assert [] == journal.overlaps()
            assert ["begins one", "ends one"] == events[:2]
            assert {"ends two", "ends three"} < {*events[2:]}

    async def test_who_comes_while_the_server_is_away_is_told_so(
        self, fleet: list[LiveServer], key: dict[str, str], journal: Journal, hold: Hold, database: Any
    ) -> None:
        """503 soon, and never beside the turn under way."""
        first, second = fleet
        async with client(key) as http:
            running = asyncio.ensure_future(http.post(f"{first.url}/one", headers=hold.headers))
            await asyncio.to_thread(journal.has, "begins one")
            await asyncio.to_thread(database.stop, signal.SIGKILL)
            behind = asyncio.ensure_future(http.post(f"{first.url}/behind"))
            elsewhere = await http.post(f"{second.url}/elsewhere")
            hold.release()
            await asyncio.to_thread(database.start)
            answers = await asyncio.gather(running, behind)

        assert 503 == elsewhere.status_code
        assert answers[1].status_code in (200, 503), "who waits for a turn of the same process may have it afterwards"
        assert [] == journal.overlaps()

    async def test_who_waits_is_called_and_asks_no_more_than_it_must(
        self, store_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A few times in two seconds, most of them to keep the place in the queue."""
        async with Waiting(store_url, monkeypatch) as waiting:
            await asyncio.sleep(2)
            asked = len(waiting.questions)

        assert 1 <= asked <= 6
        assert ["first", "second"] == waiting.agent.order

    async def test_who_hears_nothing_asks_again_and_again(self, deaf_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """And has its turn all the same."""
        async with Waiting(deaf_url, monkeypatch) as waiting:

            async def many() -> bool:
                return len(waiting.questions) > 12

            await until(many)

        assert ["first", "second"] == waiting.agent.order

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


class Waiting:
    """A second turn that waits behind a first one in another gate; when the block ends, both come to their end."""

    def __init__(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.agent = Agent()
        self.questions: Sequence[object] = ()
        self._stores = [open_store(url), open_store(url)]
        self._monkeypatch = monkeypatch

    async def __aenter__(self) -> Self:
        await forget_all(self._stores[0])
        self._stages = [Stage(self.agent, store=store) for store in self._stores]
        one, other = self._stages
        self._callers = [await one.running("first")]
        self.questions = count_calls(self._stores[1], "acquire", self._monkeypatch)
        self._callers.append(other.post("second"))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.agent.let_go("first", "second")
        await asyncio.gather(*(each.answered() for each in self._callers))
        await asyncio.gather(*leasing._background)
        await asyncio.gather(*map(leave, self._stages))


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
