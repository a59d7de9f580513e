"""What must be true of a directory before conversations are kept in it, and the database it is opened as.

The directory and its files belong to us alone; the schema is created by us in one transaction, and a database that
holds anything else (a trigger, a table, a planted setting) is refused before diskcache obeys it.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from pathlib import Path
from typing import Any

import diskcache
import platformdirs

from sessionguard.errors import ConfigurationError
from sessionguard.stores.disk.strict import StrictDisk

DATABASE = "cache.db"
BUSY_SECONDS = 1.0
SYNCHRONOUS = {"full": 2, "normal": 1}

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


def default_directory(namespace: str) -> Path:
    """Return the place in the user's state directory, one per namespace."""
    return platformdirs.user_state_path("sessionguard", appauthor=False) / namespace


def prepare(directory: Path) -> None:
    """Make the directory and the database file private to us; raises ConfigurationError when they cannot be."""
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            directory.mkdir(mode=0o700)
        _check_private(directory, stat.S_ISDIR, "directory", 0o700)
        database = directory / DATABASE
        with contextlib.suppress(FileExistsError):
            os.close(os.open(database, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        _check_private(database, stat.S_ISREG, "file", 0o600)
    except OSError as error:
        raise ConfigurationError(
            f"store: {directory} cannot be used ({error.strerror}); give SESSIONGUARD_STORE a directory this user can"
            " write, such as disk:///var/lib/myapp/sessions"
        ) from error


def open_cache(directory: Path, synchronous: int) -> Any:
    """Return the opened `diskcache.Cache`; raises ConfigurationError for a database that is not one of ours."""
    prepare(directory)
    _check_database(directory / DATABASE, synchronous)
    cache = diskcache.Cache(str(directory), timeout=0, disk=StrictDisk, sqlite_synchronous=synchronous, **_SETTINGS)
    cache._sql("PRAGMA trusted_schema = OFF")
    return cache


def _check_private(path: Path, is_kind: Any, kind: str, mode: int) -> None:
    status = path.lstat()
    if not is_kind(status.st_mode):
        raise ConfigurationError(f"store: {path} is not a {kind} (a symbolic link counts as none); name the real one")
    if status.st_uid != os.geteuid():
        raise ConfigurationError(f"store: {path} belongs to another user; set SESSIONGUARD_STORE to a {kind} of ours")
    if status.st_mode & 0o777 != mode:
        raise ConfigurationError(f"store: {path} must be readable and writable by us alone; run: chmod {mode:o} {path}")


def _check_database(database: Path, synchronous: int) -> None:
    try:
        with contextlib.closing(sqlite3.connect(database, timeout=BUSY_SECONDS, isolation_level=None)) as connection:
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("PRAGMA journal_mode = wal")
            connection.execute("BEGIN IMMEDIATE")
            found = {sql for (sql,) in connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")}
            if not found:
                _create(connection, synchronous)
            elif found != set(_SCHEMA):
                raise _not_ours(database, "has tables, indexes or triggers this package did not make")
            settings = dict(connection.execute("SELECT key, value FROM Settings"))
            connection.execute("COMMIT")
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError as error:
        raise _not_ours(database, "is not a database") from error
    pragmas = {name: value for name, value in settings.items() if name.startswith("sqlite_")}
    if pragmas.pop("sqlite_synchronous", None) not in SYNCHRONOUS.values() or pragmas != _PRAGMAS:
        raise _not_ours(database, "has a setting this package did not make")


def _create(connection: sqlite3.Connection, synchronous: int) -> None:
    for statement in _SCHEMA:
        connection.execute(statement)
    settings = {**_SETTINGS, "sqlite_synchronous": synchronous}
    connection.executemany("INSERT INTO Settings VALUES (?, ?)", settings.items())


def _not_ours(database: Path, what: str) -> ConfigurationError:
    return ConfigurationError(f"store: {database} {what}; move it away or set SESSIONGUARD_STORE to another directory")
