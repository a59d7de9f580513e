"""The files of an OpenClaw gateway: made as it makes them, and samples that real releases have written."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

SAMPLES = Path(__file__).parent / "data" / "openclaw"
DATABASE = "openclaw-agent.sqlite"

SCHEMA = """
CREATE TABLE sessions (
  session_id TEXT NOT NULL PRIMARY KEY, session_key TEXT NOT NULL,
  created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL, started_at INTEGER, ended_at INTEGER
) STRICT;
CREATE TABLE session_entries (
  session_key TEXT NOT NULL PRIMARY KEY, session_id TEXT NOT NULL, entry_json TEXT NOT NULL,
  updated_at INTEGER NOT NULL, status TEXT
) STRICT;
"""


def entry(session_id: str, started: int | None = 1, updated: int | None = 2, **more: Any) -> dict[str, Any]:
    """An entry as a gateway has it, with some of the fields that are not about identity."""
    times = {"sessionStartedAt": started, "updatedAt": updated}
    known = {name: at for name, at in times.items() if at is not None}
    return {"sessionId": session_id, **known, "chatType": "direct", "origin": {"from": "x"}, "totalTokens": 17, **more}


def write_json(path: Path, entries: Mapping[str, Any]) -> Path:
    path.write_text(json.dumps(entries, indent=2))
    return path


def write_sqlite(path: Path, entries: Mapping[str, Any]) -> Path:
    rows = [(key, each["sessionId"], json.dumps(each), each.get("updatedAt", 0)) for key, each in entries.items()]
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = wal")
        connection.executescript(SCHEMA)
        connection.executemany("INSERT INTO session_entries VALUES (?, ?, ?, ?, NULL)", rows)
        connection.commit()
    return path


NODES = ("session_key", "current_session_id", "entry_json", "entry_valid", "updated_at")
WINDOWS = ("session_id", "session_key", "previous_session_id", "reason", "created_at", "updated_at")


def write_nodes(
    path: Path,
    entries: Mapping[str, Any] = {},
    *,
    version: int | None = 23,
    windows: Iterable[tuple[Any, ...]] = (),
    nodes: Iterable[tuple[Any, ...]] = (),
    without: Iterable[str] = (),
) -> Path:
    """Write a database of 2026.8 and later; `nodes` are further rows, `without` names columns that it lacks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    node_columns, window_columns = ([each for each in names if each not in without] for names in (NODES, WINDOWS))
    rows = [(key, each["sessionId"], json.dumps(each), 1, each.get("updatedAt", 0)) for key, each in entries.items()]
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = wal")
        if version is not None:
            connection.execute("CREATE TABLE schema_meta (meta_key, role, schema_version, agent_id)")
            connection.execute("INSERT INTO schema_meta VALUES ('primary', 'agent', ?, 'main')", (version,))
        connection.execute(f"CREATE TABLE session_nodes ({', '.join(node_columns)})")
        connection.execute(f"CREATE TABLE session_windows ({', '.join(window_columns)})")
        for table, names, columns, values in (
            ("session_nodes", NODES, node_columns, [*rows, *nodes]),
            ("session_windows", WINDOWS, window_columns, windows),
        ):
            kept = [names.index(name) for name in columns]
            marks = ", ".join("?" * len(kept))
            connection.executemany(
                f"INSERT INTO {table} VALUES ({marks})", [[row[index] for index in kept] for row in values]
            )
        connection.commit()
    return path


OPEN = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA journal_mode = wal")
for statement in sys.argv[2:]:
    connection.execute(statement)
print("ready", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def running_gateway(path: Path, *statements: str) -> Iterator[subprocess.Popen[bytes]]:
    """Let another process open a database and execute statements, as a gateway that goes on running."""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", OPEN, path, *statements], stdin=pipe, stdout=pipe) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield process
        finally:
            process.kill()


@contextlib.contextmanager
def another_user() -> Iterator[None]:
    """Give up the rights of root, where the tests have them."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


@contextlib.contextmanager
def public_directory() -> Iterator[Path]:
    """Yield a new directory that other users can enter."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)
