"""The README's blocks, run as they stand, and its lists, compared with what they list."""

from __future__ import annotations

import configparser
import subprocess
import sys
from pathlib import Path

import pytest
from postgres_readme import BLOCKS, README, block, shell
from postgres_server import PostgresServer
from sessionguard_postgres.url import OURS, THEIRS


def test_the_program_runs(tmp_path: Path) -> None:
    """Building a guard opens nothing, so it needs no server."""
    run = subprocess.run([sys.executable, "-W", "error", "-c", block("python", "app =")], cwd=tmp_path, check=False)

    assert run.returncode == 0


def test_the_command_that_makes_the_tables_makes_them(server: PostgresServer, database: str) -> None:
    """Afterwards all are there."""
    run = shell(block("console", "store init"), SESSIONGUARD_STORE=server.url(database))
    tables = server.query(
        "select tablename from pg_tables where tablename ~ '^sessionguard_' order by 1", database=database
    )

    assert run.returncode == 0, run.stderr
    assert tables == [("sessionguard_leases",), ("sessionguard_schema",), ("sessionguard_sessions",)]


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
    """And runs these."""
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(Path(__file__).parents[3] / "tox.ini")
    environment = block("console", "tox").removeprefix("tox -e ").strip()

    assert "plugins/sessionguard-postgres/tests" in tox[f"testenv:{environment}"]["commands"]


def test_every_block_is_run() -> None:
    """No other one has come in; `test_move.py` runs the one that moves."""
    assert [kind for kind, _ in BLOCKS] == ["console", "console", "python", "console", "sql", "console"]


@pytest.mark.parametrize("option", sorted(OURS))
def test_every_option_of_ours_is_in_the_table(option: str) -> None:
    """With the default it has."""
    default = f"`{OURS[option]}`" if OURS[option] else "at least `on`"

    assert f"| `{option}` | {default} |" in README


@pytest.mark.parametrize("option", sorted(THEIRS - {"database"}))
def test_every_option_of_the_driver_is_named(option: str) -> None:
    """Those for TLS by their beginning."""
    assert f"`{option}`" in README or option.startswith("ssl")
