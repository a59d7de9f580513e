"""A database is ours when it holds exactly the schema we create; anything else is refused before it is used."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Collection, Iterator
from pathlib import Path

from sessionguard.errors import ConfigurationError

BUSY_SECONDS = 1.0
SYNCHRONOUS = {"full": 2, "normal": 1}


class DatabaseChanged(Exception):
    """An open database is no longer the one that was checked; the message says how, as a predicate."""


@contextlib.contextmanager
def checked_connection(
    path: Path, schema: Collection[str], mark: Collection[str]
) -> Iterator[tuple[sqlite3.Connection, bool]]:
    """Yield a connection inside a transaction, and whether `schema` has just been created in an empty file.

    `mark` is what the schema may have besides.

    Raises ConfigurationError for a file that is no database or holds anything else, sqlite3.OperationalError for one
    that is busy.
    """
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)) as connection:
            connection.execute("PRAGMA trusted_schema = OFF")
            # Before the journal mode, which would already change what is not ours.
            _found(connection, path, schema, mark)
            connection.execute("PRAGMA journal_mode = wal")
            connection.execute("BEGIN IMMEDIATE")
            found = _found(connection, path, schema, mark)
            for statement in () if found else schema:
                connection.execute(statement)
            yield connection, not found
            connection.execute("COMMIT")
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError as error:
        raise not_ours(path, "is not a database") from error


def _found(connection: sqlite3.Connection, path: Path, schema: Collection[str], mark: Collection[str]) -> bool:
    """Return whether the file holds anything yet; raises ConfigurationError if that is not ours."""
    found = {sql for (sql,) in connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")}
    if found and found not in ({*schema}, {*schema, *mark}):
        raise not_ours(path, "has tables, indexes or triggers this package did not make")
    return bool(found)


def not_ours(path: Path, what: str) -> ConfigurationError:
    """Return the error for a database that somebody else has made or changed."""
    return ConfigurationError(f"store: {path} {what}; move it away or set SESSIONGUARD_STORE to another directory")


def is_contention(error: Exception) -> bool:
    """Return whether somebody else is writing, so that trying again soon will do."""
    if isinstance(error, sqlite3.OperationalError):
        return "locked" in str(error)
    return isinstance(error, BlockingIOError)
