"""A machine without Redis: CI fails, and anybody else is told what is missing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
ONE_TEST = "test_rows.py::test_a_row_is_text"


@pytest.mark.parametrize(("ci", "told"), [("true", "1 error"), ("", "1 skipped")])
def test_a_missing_server_is_a_failure_in_ci_and_a_skip_elsewhere(ci: str, told: str, tmp_path: Path) -> None:
    """The suite's own fixtures, where no place holds the program."""
    (tmp_path / "nowhere.py").write_text("import redis_servers\nredis_servers.SERVERS.clear()\n")
    path = os.pathsep.join(map(str, (tmp_path, HERE, ROOT / "tests", os.environ.get("PYTHONPATH", ""))))
    command = [sys.executable, "-m", "pytest", "-p", "nowhere", "-p", "no:cacheprovider", "-rs", f"{HERE}/{ONE_TEST}"]
    env = {**os.environ, "PYTHONPATH": path, "CI": ci}
    run = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)

    assert told in run.stdout.splitlines()[-1], run.stdout + run.stderr
    assert "neither redis-server nor valkey-server is on PATH" in run.stdout
