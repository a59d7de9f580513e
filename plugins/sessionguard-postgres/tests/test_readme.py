"""The README's blocks, run as they stand, and its lists, compared with what they list."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from postgres_readme import BLOCKS, README, block, shell
from postgres_server import PostgresServer
from sessionguard_postgres.url import OURS, THEIRS

pytestmark = pytest.mark.once

TOX = (Path(__file__).parents[3] / "tox.ini").read_text()


def test_the_program_runs(tmp_path: Path) -> None:
    """Building a guard opens nothing, so it needs no server."""
    run = subprocess.run([sys.executable, "-W", "error", "-c", block("python", "app =")], cwd=tmp_path, check=False)

    assert run.returncode == 0


@pytest.mark.server
def test_the_command_that_makes_the_tables_makes_them(server: PostgresServer, database: str) -> None:
    """Afterwards all are there."""
    run = shell(block("console", "store init"), SESSIONGUARD_STORE=server.url(database))
    tables = server.query(
        "select tablename from pg_tables where tablename ~ '^sessionguard_' order by 1", database=database
    )

    assert run.returncode == 0, run.stderr
    assert tables == [("sessionguard_leases",), ("sessionguard_schema",), ("sessionguard_sessions",)]


@pytest.mark.server
def test_the_statement_for_poolers_limits_a_role(server: PostgresServer, database: str) -> None:
    """The next connection of that role has the limit."""
    server.query(f"create role sessions_{database} login")
    server.query(block("sql", "alter role").replace("sessions", f"sessions_{database}"))
    limits = server.query(f"select useconfig from pg_user where usename = 'sessions_{database}'")

    assert limits == [(["statement_timeout=700ms"],)]


def test_the_install_line_names_this_distribution() -> None:
    """tox runs what it says, with the wheel of the guard it has built."""
    assert "pip install . ./plugins/sessionguard-postgres\n" == block("console", "pip install")


def test_the_environment_that_runs_the_tests_exists() -> None:
    environment = block("console", "tox").removeprefix("tox -e ").strip()

    assert re.search(rf"^\[testenv:.*\b{environment}\b", TOX, re.MULTILINE)


def test_every_block_is_run() -> None:
    """No other one has come in; `test_move.py` runs the one that moves."""
    assert [kind for kind, _ in BLOCKS] == ["console", "console", "python", "console", "sql", "console"]


def test_every_option_of_ours_is_in_the_table() -> None:
    """With the default it has."""
    rows = {
        option: f"| `{option}` | {f'`{default}`' if default else 'at least `on`'} |" for option, default in OURS.items()
    }

    assert [option for option, row in rows.items() if row not in README] == []


def test_every_option_of_the_driver_is_named() -> None:
    """Those for TLS by their beginning."""
    options = [option for option in THEIRS - {"database"} if not option.startswith("ssl")]

    assert [option for option in options if f"`{option}`" not in README] == []
