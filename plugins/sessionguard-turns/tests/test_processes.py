"""Turns across processes: real uvicorn servers on one store, whose turns are kept apart by leases."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from live import LiveServer, uvicorn
from turns_journal import Journal

HERE = Path(__file__).parent
KEY = {"x-openclaw-session-key": "final-1779465436"}

Serve = Callable[..., LiveServer]


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Journal:
    path = tmp_path / "journal"
    monkeypatch.setenv("APP_JOURNAL", str(path))
    return Journal(path)


@pytest.fixture
def serve(tmp_path: Path, journal: Journal, request: pytest.FixtureRequest) -> Iterator[Serve]:
    """Start another server on the store of them all."""
    with contextlib.ExitStack() as servers:

        def serve(target: str = "turns_served:create_agent", *options: str, **settings: str) -> LiveServer:
            environment = {"SESSIONGUARD_STORE": f"disk://{tmp_path / 'sessions'}", "SESSIONGUARD_COORDINATION": "host"}
            environment |= {f"SESSIONGUARD_TURNS_{name.upper()}": value for name, value in settings.items()}
            server = uvicorn(target, tmp_path, "--factory", *options, app_dir=HERE, env=environment)
            return servers.enter_context(server)

        yield serve


@contextlib.asynccontextmanager
async def client() -> Any:
    async with httpx.AsyncClient(headers=KEY, timeout=60, limits=httpx.Limits(max_connections=200)) as client:
        yield client


def overlapping(events: list[str]) -> list[str]:
    """The turns that began before the one before had ended."""
    return [
        after
        for before, after in itertools.pairwise(events)
        if after.startswith("begins") and before.startswith("begins")
    ]


async def test_turns_of_several_workers_never_overlap(serve: Serve, journal: Journal) -> None:
    """Sixty requests of one conversation to four workers, whichever takes them."""
    server = serve("turns_served:create_agent", "--workers", "4", queue_limit="100")
    async with client() as http:
        answers = await asyncio.gather(*(http.post(f"{server.url}/turn-{number}?5") for number in range(60)))
    await asyncio.to_thread(journal.has_ended, 60)
    events = journal.events

    assert {200} == {answer.status_code for answer in answers}
    assert [] == overlapping(events)
    assert 120 == len(events)
    assert len({line.split()[0] for line in journal.lines}) > 1


async def test_the_order_is_that_of_arrival_and_nobody_starves(serve: Serve, journal: Journal) -> None:
    """Twenty requests come one after the other to one server, and among them five to another."""
    crowd, lonely = serve(), serve()
    arrived: list[str] = []
    async with client() as http:
        tasks = [asyncio.ensure_future(http.post(f"{crowd.url}/turn-0?700"))]
        await asyncio.to_thread(journal.has, "begins turn-0")
        for number in range(1, 15):
            server = lonely if number % 3 == 2 else crowd
            arrived.append(f"turn-{number}")
            tasks.append(asyncio.ensure_future(http.post(f"{server.url}/turn-{number}?20")))
            await asyncio.sleep(0.04)
        answers = await asyncio.gather(*tasks)
    begun = [event.removeprefix("begins ") for event in journal.events if event.startswith("begins ")][1:]
    moved = [abs(arrived.index(name) - place) for place, name in enumerate(begun)]

    assert {200} == {answer.status_code for answer in answers}
    assert sorted(arrived) == sorted(begun)
    assert max(moved) <= 2
    assert [] == overlapping(journal.events)


async def test_a_killed_worker_frees_its_conversation(serve: Serve, journal: Journal) -> None:
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


async def test_a_busy_conversation_is_busy_in_every_process(serve: Serve, journal: Journal) -> None:
    """`reject` answers at once, and knows how long the turn has been running elsewhere."""
    first, second = serve(), serve(mode="reject")
    async with client() as http:
        running = asyncio.ensure_future(http.post(f"{first.url}/first?1000"))
        await asyncio.to_thread(journal.has, "begins first")
        busy = await http.post(f"{second.url}/second")
        await running
        welcome = await http.post(f"{second.url}/third")

    assert (409, "session_busy") == (busy.status_code, busy.json()["error"]["code"])
    assert 1 <= int(busy.headers["retry-after"]) <= 30
    assert 200 == welcome.status_code


async def test_a_client_that_hangs_up_gives_its_place_up_in_every_process(serve: Serve, journal: Journal) -> None:
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


async def test_a_wait_for_another_process_is_over_in_time(serve: Serve, journal: Journal) -> None:
    """409, as within a process."""
    first, second = serve(), serve(wait_timeout="0.3")
    async with client() as http:
        running = asyncio.ensure_future(http.post(f"{first.url}/first?1500"))
        await asyncio.to_thread(journal.has, "begins first")
        busy = await http.post(f"{second.url}/second")
        await running

    assert 409 == busy.status_code
    assert int(busy.headers["x-sessionguard-wait-ms"]) >= 300


async def test_a_nested_call_is_known_in_every_process(serve: Serve, journal: Journal) -> None:
    """The agent calls its own conversation by way of another worker."""
    first, second = serve(), serve()
    async with client() as http:
        outer = await http.post(f"{first.url}/outer", headers={"x-call": f"{second.url}/inner"})

    assert 200 == outer.status_code
    assert ["begins outer", "begins inner", "ends inner", "ends outer"] == journal.after("ends outer")


async def test_the_fencing_number_grows_from_process_to_process(serve: Serve, journal: Journal) -> None:
    """Turn by turn, whoever serves it."""
    servers = [serve(), serve()]
    async with client() as http:
        answers = [(await http.post(f"{servers[number % 2].url}/turn")).json() for number in range(6)]
    numbers = [answer["fencing_number"] for answer in answers]

    assert sorted(set(numbers)) == numbers


@pytest.mark.parametrize(("mode", "forks"), [("first", False), ("off", True)])
async def test_a_gateway_behind_several_proxies_forks_only_without_the_gate(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, forks: bool
) -> None:
    """Six requests open each conversation, half of them by way of either proxy."""
    with uvicorn("turns_app:gateway", tmp_path, app_dir=HERE) as upstream:
        monkeypatch.setenv("UPSTREAM", upstream.url)
        proxies = [serve("turns_served:create_proxy", mode=mode) for _ in range(2)]
        async with client() as http:
            sessions = await asyncio.gather(*(_sessions(http, proxies, f"chat-{number}") for number in range(8)))

    assert forks == (max(sessions) > 1)


async def _sessions(http: httpx.AsyncClient, proxies: list[LiveServer], key: str) -> int:
    headers = {"x-openclaw-session-key": key}
    answers = await asyncio.gather(*(http.post(proxies[each % 2].url, headers=headers) for each in range(6)))
    return len({answer.text for answer in answers})
