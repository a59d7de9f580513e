"""What turns must be across processes: real uvicorn servers on one store, whose turns are kept apart by leases."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
from live import LiveServer, uvicorn
from turns_journal import Journal

HERE = Path(__file__).parent
KEY = {"x-openclaw-session-key": "final-1779465436"}
WORKERS = 4
SERVERS, REQUESTS, KILLS = 3, 60, 4

Serve = Callable[..., LiveServer]


class Fleet:
    """Servers that share a store. Override `store_url` with that of a fresh, empty one, and say how far it reaches."""

    reach = "cluster"

    @pytest.fixture
    def journal(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Journal:
        path = tmp_path / "journal"
        monkeypatch.setenv("APP_JOURNAL", str(path))
        return Journal(path)

    @pytest.fixture
    def serve(self, tmp_path: Path, journal: Journal, store_url: str) -> Iterator[Serve]:
        """Start another server."""
        with contextlib.ExitStack() as servers:

            def serve(target: str = "turns_served:create_agent", *options: str, **settings: str) -> LiveServer:
                environment = {"SESSIONGUARD_STORE": store_url, "SESSIONGUARD_COORDINATION": self.reach}
                environment |= {f"SESSIONGUARD_TURNS_{name.upper()}": value for name, value in settings.items()}
                server = uvicorn(target, tmp_path, "--factory", *options, app_dir=HERE, env=environment)
                return servers.enter_context(server)

            yield serve


@contextlib.asynccontextmanager
async def client() -> Any:
    async with httpx.AsyncClient(headers=KEY, timeout=60, limits=httpx.Limits(max_connections=200)) as client:
        yield client


async def all_workers(server: LiveServer, journal: Journal) -> None:
    """Wait until every worker has served somebody; a port is open when the first one is up."""
    deadline = time.monotonic() + 60
    while len({entry.process for entry in journal.entries}) < WORKERS:
        assert time.monotonic() < deadline, journal.entries
        async with httpx.AsyncClient(timeout=30) as stranger:
            await stranger.post(f"{server.url}/warm-{time.monotonic_ns()}")


class FleetContract(Fleet):
    """One conversation, many processes."""

    async def test_turns_of_several_workers_never_overlap(self, serve: Serve, journal: Journal) -> None:
        """Sixty requests of one conversation to four workers, whichever takes them."""
        server = serve("turns_served:create_agent", "--workers", str(WORKERS), queue_limit="100")
        await all_workers(server, journal)
        async with client() as http:
            answers = await asyncio.gather(*(http.post(f"{server.url}/turn-{number}?5") for number in range(60)))
        await asyncio.to_thread(journal.has_ended_but, 0)
        turns = [entry for entry in journal.entries if "turn-" in entry.event]

        assert {200} == {answer.status_code for answer in answers}
        assert [] == journal.overlaps()
        assert 120 == len(turns)
        assert len({entry.process for entry in turns}) > 1

    async def test_the_order_is_that_of_arrival_and_nobody_starves(self, serve: Serve, journal: Journal) -> None:
        """Twenty requests come one after the other to one server, and among them five to another."""
        crowd, lonely = serve(), serve()
        arrived: list[str] = []
        async with client() as http:
            tasks = [asyncio.ensure_future(http.post(f"{crowd.url}/turn-0?2500"))]
            await asyncio.to_thread(journal.has, "begins turn-0")
            for number in range(1, 15):
                server = lonely if number % 3 == 2 else crowd
                arrived.append(f"turn-{number}")
                tasks.append(asyncio.ensure_future(http.post(f"{server.url}/turn-{number}?20")))
                await asyncio.sleep(0.12)  # So that they arrive in this order, even on a machine that is busy.
            answers = await asyncio.gather(*tasks)
        begun = [event.removeprefix("begins ") for event in journal.events if event.startswith("begins ")][1:]
        moved = [abs(arrived.index(name) - place) for place, name in enumerate(begun)]

        assert {200} == {answer.status_code for answer in answers}
        assert sorted(arrived) == sorted(begun)
        assert max(moved) <= 1
        assert [] == journal.overlaps()

    async def test_a_killed_worker_frees_its_conversation(self, serve: Serve, journal: Journal) -> None:
        """Within the time of its lease; the turn it was in is over."""
        first, second = serve(lease_time="1"), serve(lease_time="1")
        async with client() as http:
            killed = asyncio.ensure_future(http.post(f"{first.url}/killed?60000"))
            await asyncio.to_thread(journal.has, "begins killed")
            await asyncio.sleep(2.5)
            waiting = asyncio.ensure_future(http.post(f"{second.url}/waiting"))
            await asyncio.sleep(0.2)
            assert "begins waiting" not in journal.events
            first.process.send_signal(signal.SIGKILL)
            began = time.monotonic()
            answer = await waiting
            took = time.monotonic() - began
            with pytest.raises(httpx.TransportError):
                await killed

        assert 200 == answer.status_code
        assert took < 5
        assert ["begins killed", "begins waiting", "ends waiting"] == journal.after("ends waiting")

    async def test_a_busy_conversation_is_busy_in_every_process(self, serve: Serve, journal: Journal) -> None:
        """`reject` answers at once, and knows how long the turn has been running elsewhere."""
        first, second = serve(), serve(mode="reject")
        async with client() as http:
            running = asyncio.ensure_future(http.post(f"{first.url}/first?1000"))
            await asyncio.to_thread(journal.has, "begins first")
            busy = await http.post(f"{second.url}/second")
            await running
            # The lease is given back behind the answer, so that who has it may still be refused for a moment.
            deadline = time.monotonic() + 60
            while (welcome := await http.post(f"{second.url}/third")).status_code == 409:
                assert time.monotonic() < deadline

        assert (409, "session_busy") == (busy.status_code, busy.json()["error"]["code"])
        assert 1 <= int(busy.headers["retry-after"]) <= 30
        assert 200 == welcome.status_code

    async def test_a_client_that_hangs_up_gives_its_place_up_in_every_process(
        self, serve: Serve, journal: Journal
    ) -> None:
        """Nobody waits for a place that nobody has."""
        first, second = serve(), serve()
        async with client() as http:
            running = asyncio.ensure_future(http.post(f"{first.url}/first?800"))
            await asyncio.to_thread(journal.has, "begins first")
            with pytest.raises(httpx.ReadTimeout):
                await http.post(f"{second.url}/gone", timeout=0.2)
            last = await http.post(f"{second.url}/last")
            await running

        assert 200 == last.status_code
        assert ["begins first", "ends first", "begins last", "ends last"] == journal.after("ends last")

    async def test_a_wait_for_another_process_is_over_in_time(self, serve: Serve, journal: Journal) -> None:
        """409, as within a process."""
        first, second = serve(), serve(wait_timeout="0.3")
        async with client() as http:
            running = asyncio.ensure_future(http.post(f"{first.url}/first?1500"))
            await asyncio.to_thread(journal.has, "begins first")
            busy = await http.post(f"{second.url}/second")
            await running

        assert 409 == busy.status_code
        assert int(busy.headers["x-sessionguard-wait-ms"]) >= 300

    async def test_a_nested_call_is_known_in_every_process(self, serve: Serve, journal: Journal) -> None:
        """The agent calls its own conversation by way of another worker."""
        first, second = serve(), serve()
        async with client() as http:
            outer = await http.post(f"{first.url}/outer", headers={"x-call": f"{second.url}/inner"})

        assert 200 == outer.status_code
        assert ["begins outer", "begins inner", "ends inner", "ends outer"] == journal.after("ends outer")

    async def test_the_fencing_number_grows_from_process_to_process(self, serve: Serve, journal: Journal) -> None:
        """Turn by turn, whoever serves it."""
        servers = [serve(), serve()]
        async with client() as http:
            answers = [(await http.post(f"{servers[number % 2].url}/turn")).json() for number in range(6)]
        numbers = [answer["fencing_number"] for answer in answers]

        assert sorted(set(numbers)) == numbers

    @pytest.mark.parametrize("seed", [1, 2])
    async def test_turns_never_overlap_whoever_is_killed(self, serve: Serve, journal: Journal, seed: int) -> None:
        """Requests that fail, clients that hang up, workers that are killed in the middle of a turn and replaced."""
        chaos = Chaos(lambda: serve(lease_time="2", wait_timeout="50", queue_limit="100"), journal, Random(seed))
        async with client() as http:
            answers = await chaos.run(http)
        journal.has_ended_but(len(chaos.killed))

        assert [] == journal.overlaps(chaos.killed)
        assert KILLS == len(chaos.killed)
        assert {200, 500} == {each.status_code for each in answers if isinstance(each, httpx.Response)}
        assert sum(isinstance(each, httpx.Response) for each in answers) > REQUESTS / 4


class Chaos:
    """Servers, the requests they get, and what befalls both; `killed` says who died, and when at the latest."""

    def __init__(self, serve: Callable[[], LiveServer], journal: Journal, random: Random) -> None:
        self.killed: dict[int, int] = {}
        self._serve = serve
        self._journal = journal
        self._random = random
        self._servers = [serve() for _ in range(SERVERS)]

    async def run(self, http: httpx.AsyncClient) -> list[Any]:
        """Return what became of each request: its answer, or how it failed."""
        asked = []
        for number in range(REQUESTS):
            asked.append(asyncio.ensure_future(self._ask(http, number)))
            await asyncio.sleep(self._random.uniform(0, 0.05))
            if number % (REQUESTS // KILLS) == REQUESTS // KILLS - 1:
                victim, name = self._random.choice(self._servers), f"victim-{number}"
                asked.append(asyncio.ensure_future(http.post(f"{victim.url}/{name}?60000")))
                await asyncio.to_thread(self._kill, victim, name)
        return await asyncio.gather(*asked, return_exceptions=True)

    async def _ask(self, http: httpx.AsyncClient, number: int) -> httpx.Response:
        server, kind = self._random.choice(self._servers), self._random.choice(["turn", "turn", "turn", "fail"])
        patience = self._random.choice([60, 60, 60, 60, 0.1])
        return await http.post(f"{server.url}/{kind}-{number}?{self._random.randint(0, 40)}", timeout=patience)

    def _kill(self, victim: LiveServer, name: str) -> None:
        """Wait until it has its turn, which it does not survive; another server takes its place."""
        self._journal.has(f"begins {name}")
        victim.process.send_signal(signal.SIGKILL)
        victim.process.wait()
        self.killed[victim.process.pid] = time.monotonic_ns()
        self._servers = [each for each in self._servers if each is not victim] + [self._serve()]
