"""Two groups of uvicorn workers that share a Redis and nothing else."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter, defaultdict
from pathlib import Path

import httpx
import pytest
from live import LiveServer, uvicorn
from redis_servers import RedisServer

from pytest_sessionguard import Tally

pytestmark = [pytest.mark.server, pytest.mark.slow]

CALLERS, WORKERS = 16, 2


async def ask_both(hosts: list[LiveServer], keys: int) -> list[tuple[str, int, str, str, int]]:
    """For every key on every host: the key, the host, status, id and process.

    Every request has a connection of its own, so that all workers are met.
    """
    limits = httpx.Limits(max_connections=CALLERS, max_keepalive_connections=0)
    async with httpx.AsyncClient(limits=limits, timeout=30) as client:
        turns = asyncio.Semaphore(CALLERS)

        async def ask(key: str, host: int) -> tuple[str, int, str, str, int]:
            async with turns:
                response = await client.post(hosts[host].url, headers={"x-openclaw-session-key": key})
            session_id, process = json.loads(response.text)
            return key, host, response.headers["x-sessionguard-status"], session_id, process

        return list(await asyncio.gather(*(ask(f"key-{n}", host) for n in range(keys) for host in (0, 1))))


def wait_for_workers(host: LiveServer) -> None:
    """Until each of them has answered; a port is open when the first one is."""
    processes, deadline = set(), time.monotonic() + 60
    while len(processes) < WORKERS and time.monotonic() < deadline:
        processes.add(json.loads(httpx.post(host.url, headers={"x-openclaw-session-key": "here"}).text)[1])


def test_of_two_hosts_exactly_one_opens_each_conversation(server: RedisServer, tmp_path: Path, tally: Tally) -> None:
    """Two workers each, hundreds of new keys from both sides at once: one `new` per key over both, and one id."""
    count = tally.choose(400, 5_000)
    environment = {
        "SESSIONGUARD_APP": "redis_app:app",
        "SESSIONGUARD_STORE": server.url,
        "SESSIONGUARD_COORDINATION": "cluster",
        "PYTHONDEVMODE": "",
    }
    directories = [tmp_path / "first", tmp_path / "second"]
    for directory in directories:
        directory.mkdir()
    target, options = (
        "sessionguard.serving:create_app",
        ("--factory", "--workers", str(WORKERS), "--log-level", "warning"),
    )
    first, second = (
        uvicorn(target, each, *options, app_dir=Path(__file__).parent, env=environment) for each in directories
    )
    with first as one, second as other:
        for host in (one, other):
            wait_for_workers(host)
        answers = asyncio.run(ask_both([one, other], count))
    openings = Counter(key for key, _, status, _, _ in answers if status == "new")
    ids, processes = defaultdict(set), defaultdict(set)
    for key, host, _, session_id, process in answers:
        ids[key].add(session_id)
        processes[host].add(process)

    assert openings == Counter({f"key-{n}": 1 for n in range(count)})
    assert {len(each) for each in ids.values()} == {1}
    assert len(set().union(*ids.values())) == count
    assert [len(processes[host]) for host in (0, 1)] == [WORKERS, WORKERS]
