"""What operators do: type a command, read what it says, and look at the rows behind it."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import pty
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from sessionguard import AdoptingStore, SessionRecord
from sessionguard.cli.main import app

COMMAND = Path(sys.executable).with_name("sessionguard")
SILENT = {"PYTHONDEVMODE": ""}
"""In its development mode Python would say what was slow."""


# Before 8.2, click had to be asked to keep the two streams apart.
APART: dict[str, Any] = {"mix_stderr": False} if "mix_stderr" in inspect.signature(CliRunner).parameters else {}


def command(*arguments: str, typed: str | None = None) -> Result:
    """Run a command in this process."""
    return CliRunner(**APART).invoke(app, arguments, input=typed)


def process(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command as it is installed, in a process of its own."""
    environ = {**os.environ, **SILENT, **env}
    return subprocess.run([COMMAND, *arguments], env=environ, capture_output=True, text=True, timeout=120, check=False)


def on_a_terminal(*arguments: str) -> tuple[int, bytes, bytes]:
    """Run a command whose standard error is a terminal; returns its exit code, its output, and what was shown."""
    leader, follower = pty.openpty()
    env = {**os.environ, **SILENT, "TERM": "xterm", "COLUMNS": "100"}
    shown = b""
    # A file, since a pipe that nobody reads meanwhile would fill up.
    with tempfile.TemporaryFile() as output:
        run = subprocess.Popen([COMMAND, *arguments], stdout=output, stderr=follower, env=env)
        os.close(follower)
        with contextlib.suppress(OSError):  # How the end of a terminal is told.
            while piece := os.read(leader, 4096):
                shown += piece
        os.close(leader)
        code = run.wait(120)
        output.seek(0)
        return code, output.read(), shown


def fill(store: AdoptingStore, rows: Iterable[tuple[str, SessionRecord]]) -> None:
    """Put rows into a store as they are."""

    async def adopt() -> None:
        for some in _portions(list(rows)):
            await asyncio.gather(*(store.adopt(key, record, None) for key, record in some))
        await store.aclose()

    asyncio.run(adopt())


def _portions(rows: Sequence[tuple[str, SessionRecord]]) -> Iterable[Sequence[tuple[str, SessionRecord]]]:
    return (rows[start : start + 500] for start in range(0, len(rows), 500))


def rows(store: AdoptingStore) -> dict[str, SessionRecord]:
    """Return all that is in a store."""

    async def scan() -> dict[str, SessionRecord]:
        found = {key: row async for key, row in store.scan()}
        await store.aclose()
        return found

    return asyncio.run(scan())
