"""The README's programs, run as they stand. Its install line is run by `test_installation.py`."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from sessionguard_turns.settings import VARIABLES

README = (Path(__file__).parents[1] / "README.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```\n\nprints\n\n```text\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize(("program", "output"), PROGRAMS, ids=["wait", "nested", "hooks"])
def test_a_program_of_the_readme_prints_what_the_readme_says(tmp_path: Path, program: str, output: str) -> None:
    """Each block of Python is complete; the block behind it is its whole output."""
    command = [sys.executable, "-W", "error", "-c", program]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)

    assert (0, output) == (run.returncode, run.stdout), run.stderr


def test_every_block_of_the_readme_is_run() -> None:
    """No block of Python stands without its output, and there is one command, the install line."""
    assert (len(PROGRAMS), 1) == (README.count("```python"), README.count("```console"))


@pytest.mark.parametrize("variable", VARIABLES)
def test_every_setting_is_in_the_readme(variable: str) -> None:
    """With the argument that does the same."""
    assert f"| `{variable.removeprefix('SESSIONGUARD_TURNS_').lower()}` | `{variable}` |" in README
