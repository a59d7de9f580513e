"""`examples/internal_handoff.py`, run as its first lines say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

EXAMPLE = Path(__file__).parents[3] / "examples" / "internal_handoff.py"


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the example prints."""
    command = [sys.executable, "-W", "error", str(EXAMPLE)]
    directory = tmp_path_factory.mktemp("example")
    run = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=60, check=False)
    assert 0 == run.returncode, run.stderr
    return run.stdout


def test_the_example_shows_the_rows_unchanged(output: str) -> None:
    """The rows before and after the background work are printed, and are the same line."""
    before, after = re.findall(r"^rows (?:before|after ) (.*)$", output, re.MULTILINE)

    assert before == after
    assert "identical" == output.splitlines()[-1]


def test_the_example_joins_the_visible_conversation_in_both_ways(output: str) -> None:
    """The reflection and the worker get the id the person's request got."""
    [visible_id] = re.findall(r"new +(\S+)", output)

    assert [visible_id] * 2 == re.findall(r"existing +(\S+)", output)


def test_the_example_shows_an_id_that_nobody_keeps(output: str) -> None:
    """Background work for a conversation without a row leaves none behind."""
    [ephemeral_id] = re.findall(r"ephemeral +(\S+)", output)
    [before] = re.findall(r"^rows before (.*)$", output, re.MULTILINE)

    assert ephemeral_id not in before
