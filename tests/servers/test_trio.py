"""Hypercorn can run on trio, the guard cannot, and says so: nothing is served, or nothing that has a key."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from servers.server import APPS, record_server, serving

NO_LIFESPAN = """
from bare_app import app as guarded

async def app(scope, receive, send):
    assert scope["type"] != "lifespan"
    await guarded(scope, receive, send)
"""


@pytest.fixture(autouse=True)
def _server(record_property: Callable[[str, object], None]) -> None:
    record_server(record_property, "hypercorn")


def test_a_server_on_trio_does_not_start(tmp_path: Path) -> None:
    """It ends by itself, and says why."""
    command = [sys.executable, "-m", "hypercorn", "--bind", "127.0.0.1:0", "--worker-class", "trio", "bare_app:app"]
    env = {**os.environ, "PYTHONPATH": str(APPS), "SESSIONGUARD_STORE": "memory:"}
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=env, timeout=60)

    assert "The guard works on asyncio only" in ended.stderr


def test_without_a_lifespan_only_requests_without_a_key_are_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others get the server's 500 and no id, and the log says why."""
    (tmp_path / "no_lifespan.py").write_text(NO_LIFESPAN)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    env = {"SESSIONGUARD_STORE": "memory:", "SESSIONGUARD_ON_STORE_ERROR": "open"}
    with serving("hypercorn", "no_lifespan:app", tmp_path, "--worker-class", "trio", env=env) as server:
        plain = httpx.get(server.url, timeout=30, trust_env=False)
        keyed = httpx.get(server.url, headers={"x-openclaw-session-key": "a"}, timeout=30, trust_env=False)

        assert (200, None) == (plain.status_code, plain.json()["session_id"])
        assert (500, "") == (keyed.status_code, keyed.text)
        assert "x-sessionguard-status" not in keyed.headers
        assert "The guard works on asyncio only" in server.output
