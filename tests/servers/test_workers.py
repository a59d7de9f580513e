"""Many first requests at once, over all processes of a server: exactly one is new."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from live import LiveServer
from servers import http2
from servers.header_cases import HTTP2

RACES, RACERS = 20, 12


@pytest.fixture
async def races(protocol: str, server: LiveServer) -> list[list[tuple[str, dict[str, Any]]]]:
    """Of each race, how every racer came by its id, and the answer of the application."""
    keys = [{"x-openclaw-session-key": f"race-{uuid.uuid4()}"} for _ in range(RACES)]
    if protocol in HTTP2:
        return [race_in_streams(server, key) for key in keys]
    fresh = httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=server.url, limits=fresh, timeout=30, trust_env=False) as client:
        return [await race_in_connections(client, key) for key in keys]


async def race_in_connections(client: httpx.AsyncClient, key: dict[str, str]) -> list[tuple[str, dict[str, Any]]]:
    """A connection for each racer, so that all processes take part."""
    responses = await asyncio.gather(*(client.get("/", headers=key) for _ in range(RACERS)))
    return [(response.headers["x-sessionguard-status"], response.json()) for response in responses]


def race_in_streams(server: LiveServer, key: dict[str, str]) -> list[tuple[str, dict[str, Any]]]:
    """Several connections, and several streams on each."""
    headers: Sequence[http2.Header] = [(name.encode(), value.encode()) for name, value in key.items()]
    with ThreadPoolExecutor(4) as pool:
        connections = list(pool.map(http2.exchange, [server.port] * 4, [[headers] * (RACERS // 4)] * 4))
    return [
        (answers.headers[stream][b"x-sessionguard-status"].decode(), json.loads(answers.bodies[stream]))
        for answers in connections
        for stream in answers.headers
    ]


def test_exactly_one_request_of_a_race_is_new(races: list[list[tuple[str, dict[str, Any]]]], protocol: str) -> None:
    """And all are given its id, by more than one process where the server can have them."""
    assert [RACERS] * RACES == [len(race) for race in races]
    assert [1] * RACES == [[origin for origin, _ in race].count("new") for race in races]
    assert [1] * RACES == [len({app["session_id"] for _, app in race}) for race in races]
    processes = {app["process"] for race in races for _, app in race}
    assert (1 if protocol == "daphne" else 2) == len(processes)
