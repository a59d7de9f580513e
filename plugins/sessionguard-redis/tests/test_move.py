"""Conversations move here from the disk while workers use it, and leave when those have been stopped."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from redis_readme import COMMANDS
from redis_servers import RedisServer, open_store
from relocation import KEYS, filled, move_under_load, rows

from sessionguard.stores.disk.store import DiskStore

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.once]

BIN = Path(sys.executable).parent


def shell(line: str) -> subprocess.CompletedProcess[str]:
    """Run a line where the installed commands are found."""
    return subprocess.run(
        f"export PYTHONDEVMODE= PATH={BIN}:$PATH; {line}", shell=True, capture_output=True, text=True, check=False
    )


async def test_workers_are_moved_here_from_the_disk_under_load(server: RedisServer, tmp_path: Path) -> None:
    """Nobody stops; every id that was handed out stands."""
    await move_under_load(f"disk://{tmp_path / 'sessions'}", server.url, tmp_path)


@pytest.mark.parametrize("retention", ["", "SESSIONGUARD_RETENTION=7d "], ids=["kept for ever", "with a retention"])
def test_the_command_of_the_readme_moves_every_row_as_it_is(
    server: RedisServer, tmp_path: Path, retention: str
) -> None:
    """Ids and times; those nobody has used for ages arrive as well, so that the move can say that all have."""
    [line] = [command for command in COMMANDS if "store copy" in command]
    line = line.replace("/var/lib/app", str(tmp_path)).replace("redis://127.0.0.1:6379/0", server.url)
    source = DiskStore(tmp_path / "sessions")
    moved = asyncio.run(filled(source))
    run = shell(retention + line)

    assert (run.returncode, run.stderr) == (0, "")
    assert "501 of them verified" in run.stdout
    assert asyncio.run(rows(open_store(server.url))) == moved


def test_conversations_leave_when_their_workers_have_been_stopped(server: RedisServer, tmp_path: Path) -> None:
    """A server cannot be told to refuse those that still write, and the command says so."""
    directory = tmp_path / "sessions"
    asyncio.run(_reserve(server.url))
    line = f"sessionguard store copy {server.url} disk://{directory}"
    refused = shell(line)
    run = shell(f"{line} --no-retire")

    assert (refused.returncode, run.returncode) == (2, 0)
    assert "cannot be retired" in refused.stderr
    assert "stop them, and add --no-retire" in refused.stderr
    assert asyncio.run(rows(DiskStore(directory))) == asyncio.run(rows(open_store(server.url)))


async def _reserve(url: str) -> None:
    store = open_store(url)
    await store.reserve(KEYS[0], "id", None)
    await store.aclose()
