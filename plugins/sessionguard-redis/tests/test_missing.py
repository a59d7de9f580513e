"""A machine without Redis: CI fails, and anybody else is told what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
from missing_server import said_without_it

ONE_TEST = Path(__file__).with_name("test_rows.py::test_a_row_is_text")
HIDING = "import redis_servers\nredis_servers.SERVERS.clear()"


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.parametrize(("ci", "told"), [("true", "1 error"), ("", "1 skipped")])
def test_a_missing_server_is_a_failure_in_ci_and_a_skip_elsewhere(ci: str, told: str, tmp_path: Path) -> None:
    said = said_without_it(ONE_TEST, HIDING, ci, tmp_path)

    assert told in said.splitlines()[-1], said
    assert "neither redis-server nor valkey-server is on PATH" in said
