"""The sessions in a database: `session_windows`, one row for each, with the one that it followed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from sessionguard.cli.gateway.database import connected
from sessionguard.cli.gateway.entry import time_of
from sessionguard.cli.gateway.history import OWN_RUN, History, Session, history_key
from sessionguard.cli.gateway.schema import ENTRIES, NODES, EntryTable, entry_table, read_schema

WINDOWS = {NODES: "session_windows", ENTRIES: "sessions"}
NEEDED = ("session_id", "session_key", "created_at", "updated_at")
LINEAGE = ("previous_session_id", "reason")


def read_database(path: Path, agent: str | None) -> History:
    """Return the sessions of the database at `path`; raises Unreadable or Locked."""
    with connected(path) as connection:
        schema = read_schema(connection)
        entries = entry_table(schema, path)
        windows, columns = WINDOWS[entries.name], schema.columns(WINDOWS[entries.name])
        if missing := [name for name in NEEDED if name not in columns]:
            return History([], [f"{path} has {schema.name}, without {windows}.{', '.join(missing)}"])
        agent = agent or schema.agent
        sessions = [*_sessions(connection, entries, columns, agent)]
    gaps = [] if sessions else [f"{path} holds no sessions yet"]
    return History(sessions, gaps, has_lineage=columns.issuperset(LINEAGE))


def _sessions(
    connection: sqlite3.Connection, entries: EntryTable, columns: frozenset[str], agent: str | None
) -> Iterator[Session]:
    current = {
        (session_id, key)
        for session_id, key in connection.execute(
            f"SELECT {entries.session_id}, session_key FROM {entries.name} WHERE {entries.valid}"
        )
    }
    selected = (*NEEDED, *(name if name in columns else "NULL" for name in LINEAGE))
    for session_id, raw_key, created, updated, previous, reason in connection.execute(
        f"SELECT {', '.join(selected)} FROM {WINDOWS[entries.name]}"
    ):
        key, began = history_key(str(raw_key), agent), time_of(created)
        if key == OWN_RUN or began is None:
            continue
        ended = max(began, time_of(updated) or began)
        followed = (previous,) if previous else ()
        yield Session(key, session_id, began, ended, followed, reason, (session_id, raw_key) in current)
