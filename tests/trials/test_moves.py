"""A store is moved while processes use it, and the command is killed again and again: one history explains it all."""

from __future__ import annotations

import asyncio
import contextlib
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_sessionguard import Tally
from sessionguard.testing.history import read
from sessionguard.testing.models import judge_conversations
from sessionguard.testing.opening import open_store

MOVER = Path(__file__).parents[1] / "mover.py"
COMMAND = Path(sys.executable).with_name("sessionguard")
MOVERS = 3
ROWS = 6_000
KILLS = 6
HOUR = 3_600_000_000_000


class Move:
    """Processes that use the store at `old`, to be moved to `new`, with their histories in `directory`."""

    def __init__(self, old: str, new: str, directory: Path) -> None:
        self._urls = old, new
        self._directory = directory

    @contextlib.contextmanager
    def users(self) -> Iterator[None]:
        """Processes that ask from before the move until after it; whatever happens, none outlives the block."""
        commands = [
            [sys.executable, str(MOVER), *self._urls, str(self._directory), f"user-{number}"]
            for number in range(MOVERS)
        ]
        users = [subprocess.Popen(command) for command in commands]
        try:
            yield
            (self._directory / "stop").touch()
            assert [user.wait(30) for user in users] == [0] * MOVERS
        finally:
            for user in users:
                user.kill()
                user.wait()

    def asked(self, times: int) -> None:
        """Wait until the users have asked so many times more."""
        until = time.monotonic() + 30
        before = self._lines()
        while self._lines() < before + times:
            assert time.monotonic() < until
            time.sleep(0.02)

    def _lines(self) -> int:
        return sum(path.read_bytes().count(b"\n") for path in self._directory.glob("*.conversations"))

    def command(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [COMMAND, "store", "copy", *self._urls], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def announce(self) -> None:
        """Send the users to the new store."""
        (self._directory / "moved").touch()


async def fill(url: str) -> None:
    """Rows that make every pass last."""
    store = open_store(url)
    await asyncio.gather(*(store.reserve(f"filler-{number:05}", "id", None) for number in range(ROWS)))
    await store.aclose()


async def ids(url: str) -> dict[str, str]:
    store = open_store(url)
    found = {key: row.session_id async for key, row in store.scan()}
    await store.aclose()
    return found


@pytest.mark.parametrize(("old", "new"), [("disk", "sqlite"), ("sqlite", "disk")])
def test_a_move_that_is_killed_loses_no_conversation_and_splits_none(
    tmp_path: Path, tally: Tally, old: str, new: str
) -> None:
    """Whenever it dies, and whatever is asked meanwhile; the last run finishes what the others began."""
    chance = random.Random(old)
    judged = killed = 0
    for number in range(tally.choose(1, 40)):
        directory = tmp_path / str(number)
        directory.mkdir()
        urls = f"{old}://{directory / 'old'}", f"{new}://{directory / 'new'}"
        asyncio.run(fill(urls[0]))
        move = Move(*urls, directory)
        with move.users():
            move.asked(200)
            for _ in range(KILLS):
                command = move.command()
                time.sleep(chance.uniform(0.25, 0.8))
                command.kill()
                killed += command.wait() == -9
            assert move.command().wait(60) == 0
            move.announce()
            move.asked(200)
        history = read(directory.glob("*.conversations"))
        left, arrived = asyncio.run(ids(urls[0])), asyncio.run(ids(urls[1]))

        for violation in judge_conversations(history, HOUR):
            pytest.fail(str(violation))
        assert left.keys() <= arrived.keys()
        judged += len(history)
    tally.add("operations before, during and after a move, in one order that explains every answer", judged)
    tally.add("kill -9 of a move, which the next run finished", killed)
