"""The sqlite store: the same promises as `disk:` without diskcache, on the standard library alone."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping, MutableMapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from sessionguard.codec import decode, encode
from sessionguard.errors import CorruptRecord
from sessionguard.records import SessionRecord
from sessionguard.stores.embedded.checking import SYNCHRONOUS, checked_connection
from sessionguard.stores.embedded.database import Found, beginning, marks, portions, read_or_blame, transaction
from sessionguard.stores.embedded.place import prepare
from sessionguard.stores.embedded.retirement import CheckedSchema, RetirementMark, inspect, schema_of_mark
from sessionguard.stores.embedded.store import EmbeddedStore

TABLE = "Sessions"
SCHEMA = (f"CREATE TABLE {TABLE} (key TEXT PRIMARY KEY, row BLOB NOT NULL) WITHOUT ROWID",)


class SqliteDatabase:
    """A `Database` on a plain connection."""

    def __init__(self, connection: sqlite3.Connection, checked: CheckedSchema) -> None:
        self._connection = connection
        self.mark = RetirementMark(connection.execute, TABLE, checked)

    def transaction(self) -> AbstractContextManager[object]:
        return transaction(self._connection)

    def read(self, keys: Collection[str]) -> MutableMapping[str, Found]:
        found: dict[str, Found] = {}
        for some in portions(keys, 1):
            query = f"SELECT key, row FROM Sessions WHERE key IN ({marks(len(some))})"
            for key, row in self._connection.execute(query, some).fetchall():
                found[key] = read_or_blame(_decoded, row)
        return found

    def write(self, rows: Mapping[str, SessionRecord]) -> None:
        for some in portions(rows.items(), 2):
            values = [value for key, record in some for value in (key, encode(record))]
            self._connection.execute(f"INSERT OR REPLACE INTO Sessions VALUES {marks(len(some), '(?, ?)')}", values)

    def delete(self, keys: Collection[str]) -> None:
        for some in portions(keys, 1):
            self._connection.execute(f"DELETE FROM Sessions WHERE key IN ({marks(len(some))})", some)

    def page(self, start: str, after: str, limit: int) -> Sequence[tuple[str, SessionRecord]]:
        compare, bound = beginning(start, after)
        query = f"SELECT key, row FROM Sessions WHERE key {compare} ? ORDER BY key LIMIT ?"
        rows = self._connection.execute(query, (bound, limit)).fetchall()
        return [(key, _decoded(row)) for key, row in rows]

    def keys(self, after: str, limit: int) -> Sequence[str]:
        query = "SELECT key FROM Sessions WHERE key > ? ORDER BY key LIMIT ?"
        return [key for (key,) in self._connection.execute(query, (after, limit))]

    def close(self) -> None:
        self._connection.close()


def open_database(path: Path, synchronous: str, network_filesystem: bool = False) -> SqliteDatabase:
    """Open the database of a directory; raises ConfigurationError for a place or a file that is not ours."""
    prepare(path.parent, path.name, remote_allowed=network_filesystem)
    with checked_connection(path, SCHEMA, schema_of_mark(TABLE)) as (connection, _):
        checked = inspect(connection.execute, path)
    connection = sqlite3.connect(path, timeout=0, isolation_level=None)
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute(f"PRAGMA synchronous = {SYNCHRONOUS[synchronous]}")
    return SqliteDatabase(connection, checked)


def _decoded(row: object) -> SessionRecord:
    if not isinstance(row, bytes):
        raise CorruptRecord("The session store holds a value that is not bytes; it was left untouched.")
    return decode(row)


class SqliteStore(EmbeddedStore):
    """Rows in a table of our own."""

    file_name = "sessions.db"
    open_database = staticmethod(open_database)
