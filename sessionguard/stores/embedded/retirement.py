"""The mark in a database whose conversations were moved: a table that says where to, and triggers that stop all writes.

The schema carries it, so every release knows that something is not as it was. One that opens a marked database and has
never heard of the mark refuses it; one that has it open cannot write another row. We compare the version of the schema
with the one that was checked at the opening, inside every transaction and behind every batch of reads.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from sessionguard.errors import StoreRetired
from sessionguard.records import Retirement
from sessionguard.stores.embedded.checking import DatabaseChanged, not_ours

_TABLE = "CREATE TABLE Retirement (moved_to TEXT NOT NULL, finished INTEGER NOT NULL)"
_TRIGGERS = {f"Retired_{event.lower()}": event for event in ("INSERT", "UPDATE", "DELETE")}
_REASON = "these conversations have moved; the table Retirement says where"


class Execute(Protocol):
    """Runs one statement on an open connection."""

    def __call__(self, statement: str, parameters: Sequence[object] = (), /) -> sqlite3.Cursor: ...


class CheckedSchema(NamedTuple):
    """What the schema was when it was found to be ours: its version, and the mark if it has one."""

    version: int
    retirement: Retirement | None


def schema_of_mark(table: str) -> Sequence[str]:
    """Return the statements that mark a database whose rows are in `table`."""
    triggers = (
        f"CREATE TRIGGER {name} BEFORE {event} ON {table} BEGIN SELECT RAISE(ABORT, '{_REASON}'); END"
        for name, event in _TRIGGERS.items()
    )
    return (_TABLE, *triggers)


def inspect(execute: Execute, path: Path) -> CheckedSchema:
    """Look at a schema that was compared in the same transaction; raises ConfigurationError for a damaged mark."""
    (version,) = execute("PRAGMA schema_version").fetchone()
    if not execute("SELECT 1 FROM sqlite_master WHERE name = 'Retirement'").fetchall():
        return CheckedSchema(version, None)
    rows = execute("SELECT moved_to, finished FROM Retirement").fetchall()
    if len(rows) != 1:
        raise not_ours(path, "has a mark of retirement this package did not make")
    ((moved_to, finished),) = rows
    return CheckedSchema(version, Retirement(str(moved_to), finished == 1))


class RetirementMark:
    """The mark of one open database, whose rows are in `table`; `checked` is what was found at its opening."""

    def __init__(self, execute: Execute, table: str, checked: CheckedSchema) -> None:
        self._execute = execute
        self._table = table
        self._version, self.standing = checked

    def check(self) -> None:
        """Raise DatabaseChanged if anybody has changed the schema since it was checked."""
        if self._execute("PRAGMA schema_version").fetchone() != (self._version,):
            raise DatabaseChanged("has another schema than when it was opened")

    def refuse(self) -> None:
        """Raise StoreRetired if the database is marked."""
        if self.standing is not None:
            raise StoreRetired(self.standing.moved_to, finished=self.standing.finished)

    def put(self, retirement: Retirement) -> None:
        """Mark the database, in a transaction; raises StoreRetired if it names another place already."""
        if self.standing is not None and self.standing.moved_to != retirement.moved_to:
            self.refuse()
        finished = retirement.finished or (self.standing is not None and self.standing.finished)
        self.remove()
        for statement in schema_of_mark(self._table):
            self._execute(statement)
        self._execute("INSERT INTO Retirement VALUES (?, ?)", (retirement.moved_to, int(finished)))
        self._set(Retirement(retirement.moved_to, finished))

    def remove(self) -> None:
        """Take the mark off, in a transaction."""
        if self.standing is None:
            return
        for name in _TRIGGERS:
            self._execute(f"DROP TRIGGER IF EXISTS {name}")
        self._execute("DROP TABLE IF EXISTS Retirement")
        self._set(None)

    def _set(self, standing: Retirement | None) -> None:
        # Whether this will be committed is not known here: the next check opens the database anew and finds out.
        self._version, self.standing = -1, standing
