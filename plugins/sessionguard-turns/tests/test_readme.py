"""The README's programs and the page of docs, run as they stand. `test_installation.py` runs their install line."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sessionguard_turns.settings import VARIABLES, Mode
from turns_stage import Agent, Caller, settled

pytestmark = pytest.mark.once

README = (Path(__file__).parents[1] / "README.md").read_text()
PAGE = (Path(__file__).parents[3] / "docs" / "turns.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```\n\nprints\n\n```text\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize(("program", "output"), PROGRAMS, ids=["wait", "ready", "nested", "hooks"])
def test_a_program_of_the_readme_prints_what_the_readme_says(tmp_path: Path, program: str, output: str) -> None:
    """Each block of Python is complete; the block behind it is its whole output."""
    command = [sys.executable, "-W", "error", "-c", program]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)

    assert (0, output) == (run.returncode, run.stdout), run.stderr


def test_every_block_of_the_readme_is_run() -> None:
    """No block of Python stands without its output, and there is one command, the install line."""
    assert (len(PROGRAMS), 1) == (README.count("```python"), README.count("```console"))


async def test_the_gate_of_the_page_keeps_turns_apart(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its one program, around an agent of ours."""
    monkeypatch.setenv("SESSIONGUARD_STORE", "memory:")
    [program] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    namespace: dict[str, Any] = {"agent": agent}
    exec(program, namespace)
    first, second = (Caller(namespace["app"], name, "a", {}).body(b"") for name in ("first", "second"))
    await settled()
    alone = list(agent.order)
    agent.let_go("first", "second")
    await first.answered()
    await second.answered()

    assert [["first"], ["first", "second"]] == [alone, agent.order]


def test_the_page_is_installed_as_the_readme() -> None:
    """It has no other command."""
    commands = [re.findall(r"```console\n(.*?)```", text, re.DOTALL) for text in (README, PAGE)]

    assert commands[0] == commands[1]


def test_every_setting_is_on_the_page() -> None:
    """With the argument that does the same."""
    rows = {each: f"| `{each.removeprefix('SESSIONGUARD_TURNS_').lower()}` | `{each}` |" for each in VARIABLES}

    assert [] == [variable for variable, row in rows.items() if row not in PAGE]


def test_every_mode_is_on_the_page() -> None:
    """With what it does to a request that comes second."""
    assert [] == [mode for mode in Mode if f"\n| `{mode.value}` " not in PAGE]
