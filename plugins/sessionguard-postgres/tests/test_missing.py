"""A machine without Postgres: CI fails, and anybody else is told what is missing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
ONE_TEST = "test_durability.py::test_a_guard_goes_on_after_its_server_was_restarted"


@pytest.mark.parametrize(("ci", "told"), [("true", "1 error"), ("", "1 skipped")])
def test_a_missing_server_is_a_failure_in_ci_and_a_skip_elsewhere(ci: str, told: str, tmp_path: Path) -> None:
    """The suite's own fixtures, where no place holds the program."""
    (tmp_path / "nowhere.py").write_text("import postgres_server\npostgres_server._candidates = lambda: iter(())\n")
    path = os.pathsep.join(map(str, (tmp_path, HERE, ROOT / "tests", os.environ.get("PYTHONPATH", ""))))
    command = [sys.executable, "-m", "pytest", "-p", "nowhere", "-p", "no:cacheprovider", "-rs", f"{HERE}/{ONE_TEST}"]
    env = {**os.environ, "PYTHONPATH": path, "CI": ci}
    run = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)

    assert told in run.stdout.splitlines()[-1], run.stdout + run.stderr
    assert "there is no Postgres" in run.stdout
