"""The template is a distribution that works as it stands, and the guide shows its files.

It is copied, installed in a fresh environment and tested there, as somebody does who begins with it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from fresh_environment import FreshEnvironment

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "examples" / "plugin-template"
GUIDE = ROOT / "docs" / "plugin-guide.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def shell(line: str, directory: Path, **env: str) -> str:
    """Run a line as it is typed there; returns what it printed."""
    run = subprocess.run(["bash", "-c", line], cwd=directory, env={**os.environ, **env}, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template, installed and tested by the line of its README, beside this guard and not a published one.

    The line has three commands: make an environment, install, test. uv does for the first two what venv and pip would.
    """
    directory = tmp_path_factory.mktemp("template") / "copy"
    shutil.copytree(TEMPLATE, directory)
    [line] = [text for language, text in BLOCK.findall((directory / "README.md").read_text()) if language == "bash"]
    make, install, test = line.strip().split(" && ")
    assert (make, test) == ("python3 -m venv .venv", ".venv/bin/pytest")
    environment = FreshEnvironment(directory / ".venv")
    environment.install(f"pip install {ROOT}")
    environment.install(install.removeprefix(".venv/bin/").replace('"', ""), directory=directory)
    (directory / "printed").write_text(shell(test, directory))
    return directory


@pytest.mark.slow
def test_the_template_installs_and_passes_its_tests(copy: Path) -> None:
    """All of them, the suite of every store among them."""
    assert re.search(r" \d\d passed in ", (copy / "printed").read_text().splitlines()[-1])


@pytest.mark.slow
def test_processes_that_race_and_are_killed_on_its_store_stay_of_one_mind(copy: Path, tmp_path: Path) -> None:
    """The command of the guide, on a file of this test; its contract is among the template's own tests."""
    [line] = [text for language, text in BLOCK.findall(GUIDE.read_text()) if language == "bash"]
    command = line.strip().replace("/tmp/ledger", str(tmp_path / "ledger"))
    printed = shell(f"{copy}/.venv/bin/{command} -k killed", tmp_path)

    assert "kill -9 of a racing process, nothing acknowledged was lost" in printed
    assert re.search(r"\b\d passed, ", printed.splitlines()[-1])


@pytest.mark.parametrize("module", ["chats", "plugin"])
def test_the_guide_shows_the_file_as_it_is(module: str) -> None:
    shown = [text for language, text in BLOCK.findall(GUIDE.read_text()) if language == "python"]

    assert (TEMPLATE / "sessionguard_ledger" / f"{module}.py").read_text() in shown


def test_the_guide_shows_the_entry_points_of_the_template() -> None:
    [shown] = [text for language, text in BLOCK.findall(GUIDE.read_text()) if language == "toml"]

    assert shown in (TEMPLATE / "pyproject.toml").read_text()
