"""Tests of users: the framework's own test client meets the guard, or goes past it, and `httpx` always meets it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from frameworks.framework import FRAMEWORKS
from servers.server import APPS


def run(tmp_path: Path, *arguments: str) -> dict[str, Any]:
    """Each in a process of its own: some clients change the framework they test."""
    (tmp_path / "journal").touch()
    env = {**os.environ, "APP_JOURNAL": str(tmp_path / "journal"), "SESSIONGUARD_STORE": "memory:"}
    command = [sys.executable, APPS / "clients.py", *arguments]
    finished = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=env, timeout=60)
    assert finished.returncode == 0, finished.stderr
    outcome: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    return outcome


def test_the_frameworks_own_client_meets_the_guard_or_goes_past_it(framework_name: str, tmp_path: Path) -> None:
    """Clients that call the framework itself, and not the application that is served, see no guard and no id."""
    outcome = run(tmp_path, framework_name)

    is_met = FRAMEWORKS[framework_name].client_meets_guard
    assert ("new" if is_met else None) == outcome["status"]
    assert is_met is (outcome["seen"]["scope"] is not None)


def test_httpx_meets_the_guard_in_process(framework_name: str, tmp_path: Path) -> None:
    """Handed the application that is served, it is the way round for tests of every framework."""
    framework = FRAMEWORKS[framework_name]
    outcome = run(tmp_path, framework_name, "httpx")

    assert "new" == outcome["status"]
    assert dict.fromkeys(framework.places, outcome["seen"]["scope"]) == outcome["seen"]


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
