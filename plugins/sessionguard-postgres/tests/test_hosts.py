"""Two hosts: two servers of several workers each, with nothing in common but the database and their clients' keys."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from live import LiveServer, uvicorn
from postgres_server import PostgresServer
from sessionguard_postgres import PostgresStore

from pytest_sessionguard import Tally

AT_ONCE = 12
WORKERS = 2
START_SECONDS = 60

pytestmark = [pytest.mark.server, pytest.mark.slow]


@pytest.fixture
def hosts(server: PostgresServer, database: str, tmp_path: Path) -> Iterator[list[LiveServer]]:
    asyncio.run(PostgresStore(server.url(database)).prepare())
    with contextlib.ExitStack() as stack:
        hosts = [stack.enter_context(host(server.url(database), tmp_path / name)) for name in ("here", "there")]
        for each in hosts:
            wait_for_workers(each)
        yield hosts


def host(url: str, disk: Path) -> contextlib.AbstractContextManager[LiveServer]:
    """A group of workers with a disk of its own."""
    disk.mkdir()
    env = {
        "SESSIONGUARD_APP": "agent:agent",
        "SESSIONGUARD_STORE": url,
        "SESSIONGUARD_COORDINATION": "cluster",
        "PYTHONDEVMODE": "",
        "TMPDIR": str(disk),
        "HOME": str(disk),
        "XDG_STATE_HOME": str(disk),
    }
    options = ("--factory", "--workers", str(WORKERS), "--no-access-log")
    return uvicorn("sessionguard.serving:create_app", disk, *options, app_dir=Path(__file__).parent, env=env)


def wait_for_workers(server: LiveServer) -> None:
    """Until each of them has answered; a port is open when the first one is. No key: nothing is stored."""
    processes, deadline = set(), time.monotonic() + START_SECONDS
    while len(processes) < WORKERS and time.monotonic() < deadline:
        processes.add(httpx.post(server.url).headers["x-process"])


async def _ask_everywhere(hosts: list[LiveServer], keys: int) -> list[tuple[str, str, str, str]]:
    """Ask both hosts for the same keys in the same order, so that they meet at every one."""
    told: list[tuple[str, str, str, str]] = []

    async def client(server: LiveServer, keys: Iterator[str]) -> None:
        # Every request has a connection of its own, so that all workers are met.
        fresh = httpx.Limits(max_keepalive_connections=0)
        async with httpx.AsyncClient(base_url=server.url, limits=fresh, timeout=30) as http:
            for key in keys:
                response = await http.post("/", headers={"x-openclaw-session-key": key})
                status = response.headers.get("x-sessionguard-status", response.status_code)
                told.append((key, response.text, status, response.headers.get("x-process")))

    queues = [iter([f"key-{number}" for number in range(keys)]) for _ in hosts]
    await asyncio.gather(
        *(client(server, keys) for server, keys in zip(hosts, queues, strict=True) for _ in range(AT_ONCE))
    )
    return told


def test_two_hosts_give_every_key_one_id(
    hosts: list[LiveServer], server: PostgresServer, database: str, tally: Tally
) -> None:
    """Exactly one answer for each key says that it is new, over both hosts, and the table has that id."""
    count = tally.choose(400, 5_000)
    told = asyncio.run(_ask_everywhere(hosts, count))
    ids: dict[str, set[str]] = defaultdict(set)
    for key, session_id, *_ in told:
        ids[key].add(session_id)
    new = Counter(key for key, _, status, _ in told if status == "new")
    stored = server.query("select convert_from(key, 'utf8'), session_id from sessionguard_sessions", database=database)

    assert len(told) == 2 * count
    assert {status for _, _, status, _ in told} <= {"new", "joined", "existing"}
    assert len({process for *_, process in told}) == 2 * WORKERS
    assert new == dict.fromkeys(ids, 1)
    assert len(ids) == count
    assert {key.removeprefix("default//agent:main:"): {session_id} for key, session_id in stored} == ids
