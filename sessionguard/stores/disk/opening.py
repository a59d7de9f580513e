"""A diskcache database that is ours from its first byte, and a check that it still is.

The schema is created by us in one transaction, and a database that holds anything else (a trigger, a table, a planted
setting) is refused before diskcache obeys it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, MutableMapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import diskcache
from diskcache.core import MODE_RAW

from sessionguard.codec import encode
from sessionguard.records import SessionRecord
from sessionguard.stores.disk.strict import StrictDisk
from sessionguard.stores.embedded.checking import SYNCHRONOUS, checked_connection, not_ours
from sessionguard.stores.embedded.database import Found, beginning, marks, portions, read_or_blame, transaction
from sessionguard.stores.embedded.place import prepare
from sessionguard.stores.embedded.retirement import CheckedSchema, RetirementMark, inspect, schema_of_mark

_SCHEMA = (
    "CREATE TABLE Settings ( key TEXT NOT NULL UNIQUE, value)",
    "CREATE TABLE Cache ( rowid INTEGER PRIMARY KEY, key BLOB, raw INTEGER, store_time REAL, expire_time REAL,"
    " access_time REAL, access_count INTEGER DEFAULT 0, tag BLOB, size INTEGER DEFAULT 0, mode INTEGER DEFAULT 0,"
    " filename TEXT, value BLOB)",
    "CREATE UNIQUE INDEX Cache_key_raw ON Cache(key, raw)",
    "CREATE INDEX Cache_expire_time ON Cache (expire_time)",
    "CREATE TRIGGER Settings_count_insert AFTER INSERT ON Cache FOR EACH ROW BEGIN"
    ' UPDATE Settings SET value = value + 1 WHERE key = "count"; END',
    "CREATE TRIGGER Settings_count_delete AFTER DELETE ON Cache FOR EACH ROW BEGIN"
    ' UPDATE Settings SET value = value - 1 WHERE key = "count"; END',
    "CREATE TRIGGER Settings_size_insert AFTER INSERT ON Cache FOR EACH ROW BEGIN"
    ' UPDATE Settings SET value = value + NEW.size WHERE key = "size"; END',
    "CREATE TRIGGER Settings_size_update AFTER UPDATE ON Cache FOR EACH ROW BEGIN"
    ' UPDATE Settings SET value = value + NEW.size - OLD.size WHERE key = "size"; END',
    "CREATE TRIGGER Settings_size_delete AFTER DELETE ON Cache FOR EACH ROW BEGIN"
    ' UPDATE Settings SET value = value - OLD.size WHERE key = "size"; END',
)
"""Letter for letter what diskcache 5.6 would create, so that its own `IF NOT EXISTS` finds nothing left to do."""

_SETTINGS = {
    "eviction_policy": "none",
    "cull_limit": 0,
    "size_limit": 2**62,
    "statistics": 0,
    "tag_index": 0,
    "sqlite_auto_vacuum": 0,
    "sqlite_cache_size": 8192,
    "sqlite_journal_mode": "wal",
    "sqlite_mmap_size": 0,
}
"""Nothing is ever evicted: diskcache's defaults remove live rows in silence."""

_PRAGMAS = {name: value for name, value in _SETTINGS.items() if name.startswith("sqlite_")}

_COLUMNS = "(key, raw, size, mode, value)"
_ROW = f"(?, 1, 0, {MODE_RAW}, ?)"
"""What `StrictDisk` makes of a row, as SQL: every value that need not be bound makes the statement cheaper."""
_INSTEAD = (
    "ON CONFLICT (key, raw) DO UPDATE SET"
    " size = excluded.size, mode = excluded.mode, filename = NULL, value = excluded.value"
)


class StrictCache(diskcache.Cache):  # type: ignore[misc]  # diskcache has no types
    """A cache that trusts no schema, and holds no connection to a database it cannot open."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        try:
            super().__init__(*arguments, **settings)
            self._sql("PRAGMA trusted_schema = OFF")
        except BaseException:
            self.close()
            raise


class DiskcacheDatabase:
    """A `Database` on an open diskcache, used by the thread that has opened it.

    Rows are read and written by statements of our own, which name exactly the columns this package uses: diskcache's
    `set` looks for files and for rows to evict, and takes three statements where one will do.
    """

    def __init__(self, cache: Any, checked: CheckedSchema) -> None:
        self._cache = cache
        self._disk = cache.disk
        self._connection = cache._con
        self._execute = self._connection.execute
        self.mark = RetirementMark(self._execute, "Cache", checked)

    def transaction(self) -> AbstractContextManager[object]:
        return transaction(self._connection)

    def read(self, keys: Collection[str]) -> MutableMapping[str, Found]:
        found: dict[str, Found] = {}
        for some in portions(keys, 1):
            query = f"SELECT key, mode, filename, value FROM Cache WHERE raw = 1 AND key IN ({marks(len(some))})"
            for key, *row in self._execute(query, some).fetchall():
                found[key] = read_or_blame(self._disk.fetch, *row, False)
        return found

    def write(self, rows: Mapping[str, SessionRecord]) -> None:
        for some in portions(rows.items(), 2):
            values = [value for key, record in some for value in (key, encode(record))]
            self._execute(f"INSERT INTO Cache {_COLUMNS} VALUES {marks(len(some), _ROW)} {_INSTEAD}", values)

    def delete(self, keys: Collection[str]) -> None:
        for some in portions(keys, 1):
            self._execute(f"DELETE FROM Cache WHERE raw = 1 AND key IN ({marks(len(some))})", some)

    def page(self, start: str, after: str, limit: int) -> Sequence[tuple[str, SessionRecord]]:
        compare, bound = beginning(start, after)
        query = f"SELECT key, raw, mode, filename, value FROM Cache WHERE key {compare} ? ORDER BY key LIMIT ?"
        rows = self._execute(query, (bound, limit)).fetchall()
        get, fetch = self._disk.get, self._disk.fetch
        return [(get(key, raw), fetch(mode, name, value, False)) for key, raw, mode, name, value in rows]

    def keys(self, after: str, limit: int) -> Sequence[str]:
        query = "SELECT key FROM Cache WHERE key > ? AND typeof(key) = 'text' ORDER BY key LIMIT ?"
        return [key for (key,) in self._execute(query, (after, limit))]

    def close(self) -> None:
        self._cache.close()


def open_database(path: Path, synchronous: str, network_filesystem: bool = False) -> DiskcacheDatabase:
    """Open the database of a directory; raises ConfigurationError for a place or a file that is not ours."""
    prepare(path.parent, path.name, remote_allowed=network_filesystem)
    checked = _check(path, synchronous)
    settings = {**_SETTINGS, "sqlite_synchronous": SYNCHRONOUS[synchronous]}
    return DiskcacheDatabase(StrictCache(str(path.parent), timeout=0, disk=StrictDisk, **settings), checked)


def _check(path: Path, synchronous: str) -> CheckedSchema:
    settings = {**_SETTINGS, "sqlite_synchronous": SYNCHRONOUS[synchronous]}
    with checked_connection(path, _SCHEMA, schema_of_mark("Cache")) as (connection, is_new):
        if is_new:
            connection.executemany("INSERT INTO Settings VALUES (?, ?)", settings.items())
        found = dict(connection.execute("SELECT key, value FROM Settings"))
        checked = inspect(connection.execute, path)
    pragmas = {name: value for name, value in found.items() if name.startswith("sqlite_")}
    if pragmas.pop("sqlite_synchronous", None) not in SYNCHRONOUS.values() or pragmas != _PRAGMAS:
        raise not_ours(path, "has a setting this package did not make")
    return checked
