"""docs/how-to/mcp.md, with the SDK's own client."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from applications.conftest import client_of, follow, new_key
from live import LiveServer
from mcp import Client
from mcp.client.streamable_http import streamable_http_client


@pytest.fixture(scope="module")
def server(directory: Path) -> Iterator[LiveServer]:
    with follow("mcp", directory) as server:
        yield server


async def call(server: LiveServer, key: str) -> str:
    """Connect as a new client and call the tool of the page once."""
    headers = {"x-openclaw-session-key": key}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=30, trust_env=False) as http,
        Client(streamable_http_client(f"{server.url}/mcp", http_client=http)) as client,
    ):
        answer = await client.call_tool("whoami", {})
    assert not answer.is_error, answer
    return answer.content[0].text


async def test_a_client_that_comes_back_is_in_the_same_conversation(server: LiveServer) -> None:
    """Each call is a connection of its own, in whichever worker."""
    key = new_key()
    first = await call(server, key)

    assert {await call(server, key) for _ in range(4)} == {first}
    assert await call(server, new_key()) != first


async def test_clients_that_arrive_together_are_one_conversation(server: LiveServer) -> None:
    """Eight at once, over two workers."""
    key = new_key()

    assert len(set(await asyncio.gather(*(call(server, key) for _ in range(8))))) == 1


def test_a_refusal_reaches_the_client_before_the_server_is_asked(server: LiveServer) -> None:
    """As an error of HTTP with its code."""
    with client_of(server, "cron:nightly") as client:
        refused = client.post("/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "ping"})

    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "reserved_session_key"
