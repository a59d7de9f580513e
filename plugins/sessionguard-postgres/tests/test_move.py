"""Conversations move here from the disk, and leave when their workers have been stopped.

The new store does not see the load under which they move; the suite of Redis moves under load.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from postgres_readme import block, shell
from postgres_server import PostgresServer
from relocation import KEYS, filled, rows
from sessionguard_postgres import PostgresStore

from sessionguard.stores.disk.store import DiskStore

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.once]


@pytest.fixture
def url(server: PostgresServer, database: str) -> str:
    """That of an empty database with our tables in it."""
    asyncio.run(PostgresStore(server.url(database)).prepare())
    return server.url(database)


def test_the_command_of_the_readme_moves_every_row_as_it_is(url: str, tmp_path: Path) -> None:
    """Ids and times, of those nobody has used for ages as well."""
    line = block("console", "store copy").replace("/var/lib/app", str(tmp_path))
    moved = asyncio.run(filled(DiskStore(tmp_path / "sessions")))
    run = shell(line, NEW_STORE=url)

    assert (run.returncode, run.stderr) == (0, "")
    assert "501 of them verified" in run.stdout
    assert asyncio.run(rows(PostgresStore(url))) == moved


def test_a_move_into_a_database_without_tables_says_how_to_make_them(
    server: PostgresServer, database: str, tmp_path: Path
) -> None:
    """Before anything is done to the old store."""
    moved = asyncio.run(filled(DiskStore(tmp_path / "sessions")))
    run = shell(f"sessionguard store copy disk://{tmp_path / 'sessions'} {server.url(database)}")

    assert run.returncode == 2
    assert "sessionguard store init" in run.stderr
    assert asyncio.run(rows(DiskStore(tmp_path / "sessions"))) == moved


def test_conversations_leave_when_their_workers_have_been_stopped(url: str, tmp_path: Path) -> None:
    """A server cannot be told to refuse those that still write, and the command says so."""
    directory = tmp_path / "sessions"
    asyncio.run(_reserve(url))
    line = f"sessionguard store copy {url} disk://{directory}"
    refused = shell(line)
    run = shell(f"{line} --no-retire")

    assert (refused.returncode, run.returncode) == (2, 0)
    assert "cannot be retired" in refused.stderr
    assert "stop them, and add --no-retire" in refused.stderr
    assert asyncio.run(rows(DiskStore(directory))) == asyncio.run(rows(PostgresStore(url)))


async def _reserve(url: str) -> None:
    store = PostgresStore(url)
    await store.reserve(KEYS[0], "id", None)
    await store.aclose()
