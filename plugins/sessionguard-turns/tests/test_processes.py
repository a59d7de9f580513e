"""Turns across the processes of a host, and a gateway that resolves keys by itself behind several proxies."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

import httpx
import pytest
from live import LiveServer, uvicorn
from turns_fleet import HERE, Fleet, FleetContract, Hold, Serve, client
from turns_journal import SECONDS, Journal

WORKERS = 3

pytestmark = pytest.mark.slow


class OnDisk:
    """The fixture of the classes below."""

    reach = "host"

    @pytest.fixture(scope="class")
    @classmethod
    def store_url(cls, tmp_path_factory: pytest.TempPathFactory) -> str:
        return f"disk://{tmp_path_factory.mktemp('disk') / 'sessions'}"


class TestDisk(OnDisk, FleetContract):
    """Leases in a file beside the conversations."""

    async def test_turns_of_several_workers_never_overlap(
        self, start: Serve, key: dict[str, str], journal: Journal
    ) -> None:
        """Sixty requests of one conversation to the workers of a server, whichever takes them."""
        server = start("turns_served:create_agent", "--workers", str(WORKERS), queue_limit="100")
        async with client(key) as http:
            await all_workers(http, server, journal)
            answers = await asyncio.gather(*(http.post(f"{server.url}/turn-{number}?5") for number in range(60)))
        await asyncio.to_thread(journal.has_ended_but, 0)
        turns = [entry for entry in journal.entries if "turn-" in entry.event]

        assert {200} == {answer.status_code for answer in answers}
        assert [] == journal.overlaps()
        assert 120 == len(turns)
        assert len({entry.process for entry in turns}) > 1

    async def test_a_turn_outlives_its_lease_and_a_killed_worker_frees_its_conversation(
        self, start: Serve, key: dict[str, str], journal: Journal, hold: Hold
    ) -> None:
        """A lease is renewed while its turn runs, and ends with its process, in less than the others wait."""
        first, second = (start(lease_time="2", wait_timeout="30") for _ in range(2))
        async with client(key) as http:
            killed = asyncio.ensure_future(http.post(f"{first.url}/killed", headers=hold.headers))
            await asyncio.to_thread(journal.has, "begins killed")
            waiting = asyncio.ensure_future(http.post(f"{second.url}/waiting"))
            await asyncio.sleep(4)
            assert ["begins killed"] == journal.events
            first.process.send_signal(signal.SIGKILL)
            answer = await waiting
            with pytest.raises(httpx.TransportError):
                await killed

        assert 200 == answer.status_code
        assert ["begins killed", "begins waiting", "ends waiting"] == journal.after("ends waiting")


async def all_workers(http: httpx.AsyncClient, server: LiveServer, journal: Journal) -> None:
    """Wait until every worker has had a turn; a port is open when the first one is up."""
    deadline = time.monotonic() + SECONDS
    while len({entry.process for entry in journal.entries}) < WORKERS:
        assert time.monotonic() < deadline, journal.entries
        async with httpx.AsyncClient(headers=http.headers, timeout=30) as fresh:
            await fresh.post(f"{server.url}/warm-{time.monotonic_ns()}")


class TestGateway(OnDisk, Fleet):
    """A proxy cannot see which session its upstream resolves."""

    @pytest.mark.parametrize(("mode", "forks"), [("first", False), ("off", True)])
    async def test_a_gateway_behind_several_proxies_forks_only_without_the_gate(
        self, start: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, forks: bool
    ) -> None:
        """Six requests open each conversation, half of them by way of either proxy."""
        with uvicorn("turns_app:gateway", tmp_path, app_dir=HERE) as upstream:
            monkeypatch.setenv("UPSTREAM", upstream.url)
            proxies = [start("turns_served:create_proxy", mode=mode) for _ in range(2)]
            async with client() as http:
                sessions = await asyncio.gather(*(_sessions(http, proxies, f"{mode}-{number}") for number in range(8)))

        assert forks == (max(sessions) > 1)


async def _sessions(http: httpx.AsyncClient, proxies: list[LiveServer], key: str) -> int:
    headers = {"x-openclaw-session-key": key}
    answers = await asyncio.gather(*(http.post(proxies[each % 2].url, headers=headers) for each in range(6)))
    return len({answer.text for answer in answers})
