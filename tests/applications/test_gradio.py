"""docs/how-to/gradio.md, with Gradio's own client."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from applications.conftest import follow, new_key
from gradio_client import Client
from live import LiveServer


@pytest.fixture(scope="module")
def server(directory: Path) -> Iterator[LiveServer]:
    # A closed client keeps the connection of its heartbeat, for which a server would wait before it ends.
    settings = {"GRADIO_ANALYTICS_ENABLED": "False", "UVICORN_TIMEOUT_GRACEFUL_SHUTDOWN": "1"}
    with follow("gradio", directory, **settings) as server:
        yield server


def said_in(server: LiveServer, key: str) -> str:
    """Send one message as a new client; returns the id the page's function answers with."""
    client = Client(server.url, headers={"x-openclaw-session-key": key}, verbose=False)
    try:
        answer = client.predict("Hello", api_name="/answer")
    finally:
        client.close()
    (session_id,) = re.findall(r"^Hello, said in ([0-9a-f-]{36})$", answer)
    return str(session_id)


def test_a_function_knows_the_conversation_of_its_request(server: LiveServer) -> None:
    """Though the answer travels on another connection than the question."""
    key = new_key()
    first = said_in(server, key)

    assert said_in(server, key) == first
    assert said_in(server, new_key()) != first


def test_clients_that_arrive_together_are_one_conversation(server: LiveServer) -> None:
    """Each has a queue of its own."""
    key = new_key()
    with ThreadPoolExecutor(6) as clients:
        assert len({*clients.map(lambda _: said_in(server, key), range(6))}) == 1
