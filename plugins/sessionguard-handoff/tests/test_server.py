"""Handoffs on real sockets: uvicorn as a process, HTTP and WebSocket clients."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from live import LiveServer, uvicorn
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

pytestmark = pytest.mark.slow

AGENT_DIRECTORY = Path(__file__).parent


@pytest.fixture
def server(tmp_path: Path, store_directory: Path, secret: str) -> Iterator[LiveServer]:
    """The guarded agent behind uvicorn, configured by the environment alone."""
    environment = {
        "SESSIONGUARD_APP": "agent:agent",
        "SESSIONGUARD_STORE": f"disk://{store_directory}",
        "SESSIONGUARD_TOUCH_INTERVAL": "1",
    }
    target = "sessionguard.serving:create_app"
    with uvicorn(target, tmp_path, "--factory", app_dir=AGENT_DIRECTORY, env=environment) as server:
        yield server


def test_a_handoff_over_a_socket_joins_the_visible_conversation(server: LiveServer, handoff: dict[str, str]) -> None:
    """The visible request starts the conversation, the handoff gets the same id, in whatever case names are sent."""
    visible = httpx.get(server.url, headers={"X-OpenClaw-Session-Key": "final-1779465436"}).json()
    internal = httpx.get(server.url, headers={name.title(): value for name, value in handoff.items()}).json()

    assert ("new", "existing") == (visible["origin"], internal["origin"])
    assert visible["session_id"] == internal["session_id"]


def test_the_flush_after_the_touch_interval_passes_a_handoff_by(
    server: LiveServer, handoff: dict[str, str], stored: Callable[[], list[tuple[Any, ...]]]
) -> None:
    """A flush that writes a visible conversation's touch leaves the other row's bytes as they are."""
    busy = {"x-openclaw-session-key": "another-conversation"}
    for headers in ({"x-openclaw-session-key": handoff["x-openclaw-session-key"]}, busy):
        httpx.get(server.url, headers=headers)
    quiet_row, busy_row = stored()
    httpx.get(server.url, headers=handoff)
    httpx.get(server.url, headers=busy)

    assert quiet_row == _after_the_touch(stored, busy_row)


def _after_the_touch(stored: Callable[[], list[tuple[Any, ...]]], busy_row: tuple[Any, ...]) -> tuple[Any, ...]:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        quiet, busy = sorted(stored(), key=lambda row: row[1] == busy_row[1])
        if busy != busy_row:
            return quiet
        time.sleep(0.02)
    raise TimeoutError("the visible conversation was not touched within 30 s")


def test_a_websocket_with_a_valid_token_is_a_handoff(server: LiveServer, handoff: dict[str, str]) -> None:
    """The handshake's headers count like those of a request."""
    with connect(server.ws_url, additional_headers=handoff) as websocket:
        seen = json.loads(websocket.recv())

    assert "ephemeral" == seen["origin"]


@pytest.mark.parametrize("token", ["", "a-token-that-somebody-guessed"])
def test_a_websocket_without_a_valid_token_is_refused(server: LiveServer, handoff: dict[str, str], token: str) -> None:
    """The handshake is answered 403; the connection is never accepted."""
    with pytest.raises(InvalidStatus) as refused:
        connect(server.ws_url, additional_headers={**handoff, "x-openclaw-handoff-token": token})

    assert 403 == refused.value.response.status_code
