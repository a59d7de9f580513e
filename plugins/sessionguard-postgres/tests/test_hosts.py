"""Two hosts: two servers of several workers each, with nothing in common but the database and their clients' keys."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from live import LiveServer, uvicorn
from postgres_server import PostgresServer
from sessionguard_postgres import PostgresStore

KEYS = 2_000
AT_ONCE = 12


@pytest.fixture
def hosts(server: PostgresServer, database: str, tmp_path: Path) -> Iterator[list[LiveServer]]:
    asyncio.run(PostgresStore(server.url(database)).prepare())
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(host(server.url(database), tmp_path / name)) for name in ("here", "there")]


def host(url: str, disk: Path) -> contextlib.AbstractContextManager[LiveServer]:
    """A group of two workers with a disk of its own."""
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
    options = ("--factory", "--workers", "2", "--no-access-log")
    return uvicorn("sessionguard.serving:create_app", disk, *options, app_dir=Path(__file__).parent, env=env)


async def _ask_everywhere(hosts: list[LiveServer]) -> list[tuple[str, str, str]]:
    """Ask both hosts for the same keys in the same order, so that they meet at every one."""
    told: list[tuple[str, str, str]] = []

    async def client(server: LiveServer, keys: Iterator[str]) -> None:
        async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
            for key in keys:
                response = await http.post("/", headers={"x-openclaw-session-key": key})
                told.append((key, response.text, response.headers.get("x-sessionguard-status", response.status_code)))

    queues = [iter([f"key-{number}" for number in range(KEYS)]) for _ in hosts]
    await asyncio.gather(
        *(client(server, keys) for server, keys in zip(hosts, queues, strict=True) for _ in range(AT_ONCE))
    )
    return told


def test_two_hosts_give_every_key_one_id(hosts: list[LiveServer], server: PostgresServer, database: str) -> None:
    """Exactly one answer for each key says that it is new, over both hosts, and the table has that id."""
    told = asyncio.run(_ask_everywhere(hosts))
    ids: dict[str, set[str]] = defaultdict(set)
    for key, session_id, _ in told:
        ids[key].add(session_id)
    new = Counter(key for key, _, status in told if status == "new")
    stored = server.query("select convert_from(key, 'utf8'), session_id from sessionguard_sessions", database=database)

    assert len(told) == 2 * KEYS
    assert {status for *_, status in told} <= {"new", "joined", "existing"}
    assert new == dict.fromkeys(ids, 1)
    assert len(ids) == KEYS
    assert {key.removeprefix("default//agent:main:"): {session_id} for key, session_id in stored} == ids
