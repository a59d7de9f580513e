"""A machine without Postgres: CI fails, and anybody else is told what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
from missing_server import said_without_it

ONE_TEST = Path(__file__).with_name("test_durability.py::test_a_guard_goes_on_after_its_server_was_restarted")
HIDING = "import postgres_server\npostgres_server._candidates = lambda: iter(())"


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.parametrize(("ci", "told"), [("true", "1 error"), ("", "1 skipped")])
def test_a_missing_server_is_a_failure_in_ci_and_a_skip_elsewhere(ci: str, told: str, tmp_path: Path) -> None:
    said = said_without_it(ONE_TEST, HIDING, ci, tmp_path)

    assert told in said.splitlines()[-1], said
    assert "there is no Postgres" in said
