"""The files of an OpenClaw gateway, made as it makes them."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
