"""Tests of users: the framework's own test client meets the guard, or goes past it, and `httpx` always meets it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from frameworks.framework import FRAMEWORKS
from servers.server import APPS

Seen = Mapping[str, Any]


@pytest.fixture(scope="session")
def clients(framework_name: str, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Seen]:
    """The answers that both clients got, in a process for each framework: some clients change the one they test."""
    directory = tmp_path_factory.mktemp(framework_name)
    env = {**os.environ, "APP_JOURNAL": str(directory / "journal"), "SESSIONGUARD_STORE": "memory:"}
    outcomes: dict[str, Seen] = {}
    # Sanic does not start twice in one process.
    for names in [["httpx"], ["own"]] if framework_name == "sanic" else [["httpx", "own"]]:
        command = [sys.executable, APPS / "clients.py", framework_name, *names]
        finished = subprocess.run(command, capture_output=True, text=True, cwd=directory, env=env, timeout=300)
        assert finished.returncode == 0, finished.stderr
        outcomes |= json.loads(finished.stdout.splitlines()[-1])
    return outcomes


def test_the_frameworks_own_client_meets_the_guard_or_goes_past_it(
    framework_name: str, clients: Mapping[str, Seen]
) -> None:
    """Clients that call the framework itself, and not the application that is served, see no guard and no id."""
    own = clients["own"]

    is_met = FRAMEWORKS[framework_name].client_meets_guard
    assert ("new" if is_met else None) == own["status"]
    assert is_met is (own["seen"]["scope"] is not None)


def test_httpx_meets_the_guard_in_process(framework_name: str, clients: Mapping[str, Seen]) -> None:
    """Handed the application that is served, it is the way round for tests of every framework."""
    httpx = clients["httpx"]

    assert "new" == httpx["status"]
    assert dict.fromkeys(FRAMEWORKS[framework_name].places, httpx["seen"]["scope"]) == httpx["seen"]


@pytest.mark.only("sanic")
def test_sanics_client_must_not_be_given_the_guard(tmp_path: Path) -> None:
    """It replaces `__call__` on the class of what it is given: every guard of that process would be without one."""
    program = (
        "from sanic_testing.testing import SanicASGITestClient\n"
        "from sessionguard import SessionGuard\n"
        "own = SessionGuard.__call__\n"
        "SanicASGITestClient(SessionGuard(print, store='memory:'))\n"
        "print(SessionGuard.__call__ is own)\n"
    )
    command = [sys.executable, "-c", program]

    assert "False\n" == subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path).stdout
