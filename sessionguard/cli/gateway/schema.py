"""The tables in which `openclaw-agent.sqlite` holds sessions, by its schema.

Betas of 2026.7 had `session_entries` and `sessions`. Schema 14 replaced them with `session_nodes` and
`session_windows`, and a later one added `entry_valid`, which is 1 for entries that the gateway has checked.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from sessionguard.cli.gateway.errors import ADVICE, NoSessions, Unreadable

NEWEST = 23
NODES, ENTRIES = "session_nodes", "session_entries"
SESSION_ID = {NODES: "current_session_id", ENTRIES: "session_id"}


@dataclass(frozen=True)
class Schema:
    """The version of a database, None where it names none, and the columns of its tables."""

    version: int | None
    agent: str | None
    tables: dict[str, frozenset[str]]

    @property
    def name(self) -> str:
        return "an unknown schema" if self.version is None else f"schema {self.version}"

    def columns(self, table: str) -> frozenset[str]:
        return self.tables.get(table, frozenset())


@dataclass(frozen=True)
class EntryTable:
    """The table of entries: the column of the session id, of the last use, and the condition of a valid row."""

    name: str
    session_id: str
    updated_at: str
    valid: str


def read_schema(connection: sqlite3.Connection) -> Schema:
    """Return the schema of a database."""
    names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")]
    tables = {name: _columns(connection, name) for name in names}
    version, agent = None, None
    if {"schema_version", "agent_id"} <= tables.get("schema_meta", frozenset()):
        rows = connection.execute("SELECT schema_version, agent_id FROM schema_meta WHERE meta_key = 'primary'")
        version, agent = rows.fetchone() or (None, None)
    elif "schema_version" in tables.get("schema_meta", frozenset()):
        (version,) = connection.execute("SELECT max(schema_version) FROM schema_meta").fetchone()
    return Schema(version, agent if isinstance(agent, str) else None, tables)


def entry_table(schema: Schema, path: Path) -> EntryTable:
    """Return the table of entries; raises Unreadable for a schema without the columns that are needed."""
    name = next((each for each in (NODES, ENTRIES) if each in schema.tables), None)
    known = f"the newest schema known to this release is {NEWEST}"
    if name is None:
        raise NoSessions(
            f"{path} is no database of an OpenClaw agent: it has {schema.name} without {NODES} and {ENTRIES}"
            f" ({known}); {ADVICE}"
        )
    columns, session_id = schema.columns(name), SESSION_ID[name]
    if missing := sorted({"session_key", session_id, "entry_json"} - columns):
        raise Unreadable(
            f"{path} has {schema.name}, whose {name} has no {' and no '.join(missing)}; {known}; update sessionguard"
        )
    updated_at = "updated_at" if "updated_at" in columns else "NULL"
    return EntryTable(name, session_id, updated_at, _valid(name, columns))


def _valid(name: str, columns: frozenset[str]) -> str:
    if "entry_valid" in columns:
        return "entry_valid = 1"
    return "entry_json NOT IN ('', '{}')" if name == NODES else "TRUE"


def _columns(connection: sqlite3.Connection, table: str) -> frozenset[str]:
    return frozenset(name for (name,) in connection.execute("SELECT name FROM pragma_table_info(?)", (table,)))
