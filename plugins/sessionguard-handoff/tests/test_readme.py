"""The README's programs and commands, run as they stand. Its install line is run by `test_installation.py`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from sessionguard_handoff import HandoffPlugin

pytestmark = pytest.mark.once

README = (Path(__file__).parents[1] / "README.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```\n\nprints\n\n```text\n(.*?)```", README, re.DOTALL)
COMMANDS = re.findall(r"```console\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize(("program", "output"), PROGRAMS, ids=["in-process", "http"])
def test_a_program_of_the_readme_prints_what_the_readme_says(tmp_path: Path, program: str, output: str) -> None:
    """Each block of Python is complete; the block behind it is its whole output."""
    command = [sys.executable, "-W", "error", "-c", program]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)

    assert (0, output) == (run.returncode, run.stdout), run.stderr


def test_the_command_that_makes_a_secret_makes_a_legal_one(tmp_path: Path) -> None:
    """What it prints can be given to the plugin."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    run = subprocess.run(
        COMMANDS[-1],
        shell=True,
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=True,
    )

    HandoffPlugin([run.stdout.strip()])


def test_every_block_of_the_readme_is_run() -> None:
    """No block of Python stands without its output, and there are no commands but the two that tests run."""
    assert (README.count("```python"), 2) == (len(PROGRAMS), len(COMMANDS))
