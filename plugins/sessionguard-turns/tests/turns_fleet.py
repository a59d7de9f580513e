"""What turns must be across processes: real uvicorn servers on one store, whose turns are kept apart by leases."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
from isolation import environment_of
from live import LiveServer, uvicorn
from turns_journal import SECONDS, Journal

HERE = Path(__file__).parent
SERVERS, REQUESTS, KILLS = 3, 60, 3

Serve = Callable[..., LiveServer]
_numbers = itertools.count()


class Fleet:
    """Servers that share a store. Override `store_url` with that of a fresh one, and say how far it reaches.

    The store and its two servers `fleet` are there for all tests of a class; each test has a conversation of its own.
    """

    reach = "cluster"

    @pytest.fixture(scope="class")
    @classmethod
    def store_url(cls) -> str:
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def start(cls, tmp_path_factory: pytest.TempPathFactory, store_url: str) -> Iterator[Serve]:
        """Start another server; it lasts as long as the class."""
        with contextlib.ExitStack() as servers:
            directory = tmp_path_factory.mktemp("fleet")

            def start(target: str = "turns_served:create_agent", *options: str, **settings: str) -> LiveServer:
                environment = {"SESSIONGUARD_STORE": store_url, "SESSIONGUARD_COORDINATION": cls.reach}
                environment |= {"APP_JOURNAL": str(directory / "journal")}
                environment |= {f"SESSIONGUARD_TURNS_{name.upper()}": value for name, value in settings.items()}
                with environment_of("turns", "redis", "postgres"):
                    server = uvicorn(target, directory, "--factory", *options, app_dir=HERE, env=environment)
                    return servers.enter_context(server)

            start.journal = directory / "journal"  # type: ignore[attr-defined]
            yield start

    @pytest.fixture(scope="class")
    @classmethod
    def fleet(cls, start: Serve) -> list[LiveServer]:
        return [start(), start()]

    @pytest.fixture
    def key(self) -> dict[str, str]:
        """The header of a conversation that no other test has."""
        return {"x-openclaw-session-key": f"chat-{next(_numbers)}"}

    @pytest.fixture
    def journal(self, start: Any, key: dict[str, str]) -> Journal:
        """The events of that conversation."""
        return Journal(start.journal, *key.values())

    @pytest.fixture
    def hold(self, tmp_path: Path) -> Hold:
        return Hold(tmp_path / "go on")


class Hold:
    """Turns that go on when the test says so."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.headers = {"x-hold": str(path)}

    def release(self) -> None:
        self._path.touch()


@contextlib.asynccontextmanager
async def client(key: dict[str, str] | None = None) -> Any:
    async with httpx.AsyncClient(headers=key, timeout=60, limits=httpx.Limits(max_connections=200)) as client:
        yield client


async def until(is_so: Callable[[], Awaitable[object]]) -> None:
    deadline = time.monotonic() + SECONDS
    while not await is_so():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def present(server: LiveServer, count: int) -> None:
    """Wait until so many turns run or wait in this process."""
    async with client() as http:

        async def counted() -> bool:
            return bool((await http.get(f"{server.url}/present")).json() == count)

        await until(counted)


class FleetContract(Fleet):
    """One conversation, many processes."""

    async def test_the_order_is_that_of_arrival_and_nobody_starves(
        self, fleet: list[LiveServer], key: dict[str, str], journal: Journal, hold: Hold
    ) -> None:
        """Fourteen requests come one after the other to one server, and among them five to another."""
        crowd, lonely = fleet
        arrived: list[str] = []
        async with client(key) as http:
            tasks = [asyncio.ensure_future(http.post(f"{crowd.url}/turn-0", headers=hold.headers))]
            await asyncio.to_thread(journal.has, "begins turn-0")
            counts = {crowd.url: 1, lonely.url: 0}
            for number in range(1, 15):
                server = lonely if number % 3 == 2 else crowd
                arrived.append(f"turn-{number}")
                tasks.append(asyncio.ensure_future(http.post(f"{server.url}/turn-{number}?20")))
                counts[server.url] += 1
                await present(server, counts[server.url])
                await asyncio.sleep(0.005)  # The order of a queue is by milliseconds.
            hold.release()
            answers = await asyncio.gather(*tasks)
        await asyncio.to_thread(journal.has_ended, 15)
        begun = [event.removeprefix("begins ") for event in journal.events if event.startswith("begins ")][1:]
        moved = [abs(arrived.index(name) - place) for place, name in enumerate(begun)]

        assert {200} == {answer.status_code for answer in answers}
        assert sorted(arrived) == sorted(begun)
        assert max(moved) <= 1
        assert [] == journal.overlaps()

    async def test_a_client_that_hangs_up_gives_its_place_up_in_every_process(
        self, fleet: list[LiveServer], key: dict[str, str], journal: Journal, hold: Hold
    ) -> None:
        """Nobody waits for a place that nobody has."""
        first, second = fleet
        async with client(key) as http:
            running = asyncio.ensure_future(http.post(f"{first.url}/first", headers=hold.headers))
            await asyncio.to_thread(journal.has, "begins first")
            gone = asyncio.ensure_future(http.post(f"{second.url}/gone"))
            await present(second, 1)
            gone.cancel()
            await present(second, 0)
            last = asyncio.ensure_future(http.post(f"{second.url}/last"))
            await present(second, 1)
            hold.release()
            answers = await asyncio.gather(running, last)

        assert [200, 200] == [answer.status_code for answer in answers]
        assert ["begins first", "ends first", "begins last", "ends last"] == journal.after("ends last")

    async def test_a_nested_call_is_known_in_every_process(
        self, fleet: list[LiveServer], key: dict[str, str], journal: Journal
    ) -> None:
        """The agent calls its own conversation by way of another worker."""
        first, second = fleet
        async with client(key) as http:
            outer = await http.post(f"{first.url}/outer", headers={"x-call": f"{second.url}/inner"})

        assert 200 == outer.status_code
        assert ["begins outer", "begins inner", "ends inner", "ends outer"] == journal.after("ends outer")

    async def test_the_fencing_number_grows_from_process_to_process(
        self, fleet: list[LiveServer], key: dict[str, str]
    ) -> None:
        """Turn by turn, whoever serves it."""
        async with client(key) as http:
            answers = [(await http.post(f"{fleet[number % 2].url}/turn")).json() for number in range(6)]
        numbers = [answer["fencing_number"] for answer in answers]

        assert sorted(set(numbers)) == numbers

    async def test_turns_never_overlap_whoever_is_killed(
        self, start: Serve, key: dict[str, str], journal: Journal
    ) -> None:
        """Requests that fail, clients that hang up, workers that are killed in the middle of a turn and replaced."""
        chaos = Chaos(lambda: start(lease_time="2", wait_timeout="50", queue_limit="100"), journal, Random(self.reach))
        async with client(key) as http:
            answers = await chaos.run(http)
        await asyncio.to_thread(journal.has_ended_but, len(chaos.killed))

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
