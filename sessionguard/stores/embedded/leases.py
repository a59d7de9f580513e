"""The leases of an embedded store: a small database beside the conversations, whose loss would cost nobody a row.

It has a thread and a lock of its own, so that turns do not wait for the conversations' disk, nor the other way round.
"""

from __future__ import annotations

import dataclasses
import functools
import sqlite3
from collections.abc import Callable, Collection, Mapping, MutableMapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeVar, cast

from sessionguard import leases
from sessionguard.codec import decode_lease, encode_lease
from sessionguard.errors import CorruptRecord
from sessionguard.leases import LeaseAnswer, LeaseRow, LeaseSupport
from sessionguard.records import SessionRecord
from sessionguard.stores.embedded.checking import checked_connection
from sessionguard.stores.embedded.database import Database, Found, transaction
from sessionguard.stores.embedded.holders import Holder
from sessionguard.stores.embedded.place import prepare
from sessionguard.stores.embedded.retirement import CheckedSchema, RetirementMark, inspect, schema_of_mark
from sessionguard.stores.embedded.rows import Rows
from sessionguard.stores.embedded.threads import THREADS, Tenancy

FILE_NAME = "leases.db"
TABLE = "Leases"
SCHEMA = (
    f"CREATE TABLE {TABLE} (name TEXT PRIMARY KEY, ends_at INTEGER NOT NULL, row BLOB NOT NULL) WITHOUT ROWID",
    f"CREATE INDEX Leases_ends_at ON {TABLE} (ends_at)",
    "CREATE TABLE Fencing (last INTEGER NOT NULL)",
)
SWEEP = 4

T = TypeVar("T")


class LeaseDatabase:
    """A `Database` that holds no conversations."""

    def __init__(self, connection: sqlite3.Connection, checked: CheckedSchema) -> None:
        self._execute = connection.execute
        self._connection = connection
        self.mark = RetirementMark(connection.execute, TABLE, checked)

    def change(self, name: str, now: int, step: Callable[[LeaseRow], tuple[LeaseRow, T]]) -> T:
        """Replace what is known of a name, in a transaction, and remove some rows that are over."""
        found = self._execute("SELECT row FROM Leases WHERE name = ?", (name,)).fetchone()
        row, answer = step(LeaseRow() if found is None else _decoded(found[0]))
        if row.ends_at > now:
            self._execute("INSERT OR REPLACE INTO Leases VALUES (?, ?, ?)", (name, row.ends_at, encode_lease(row)))
        elif found is not None:
            self._execute("DELETE FROM Leases WHERE name = ?", (name,))
        over = "SELECT name FROM Leases WHERE ends_at <= ? LIMIT ?"
        self._execute(f"DELETE FROM Leases WHERE name IN ({over})", (now, SWEEP))
        return answer

    def next_number(self, now: int) -> int:
        """Return a fencing number, in a transaction; should the file be lost, the clock keeps them growing."""
        (last,) = self._execute("SELECT max(last) FROM Fencing").fetchone()
        number = max((last or 0) + 1, now)
        self._execute("DELETE FROM Fencing")
        self._execute("INSERT INTO Fencing VALUES (?)", (number,))
        return number

    def transaction(self) -> AbstractContextManager[object]:
        return transaction(self._connection)

    def read(self, keys: Collection[str]) -> MutableMapping[str, Found]:
        return {}

    def write(self, rows: Mapping[str, SessionRecord]) -> None:
        """There are none."""

    def delete(self, keys: Collection[str]) -> None:
        """There are none."""

    def page(self, start: str, after: str, limit: int) -> Sequence[tuple[str, SessionRecord]]:
        return ()

    def keys(self, after: str, limit: int) -> Sequence[str]:
        return ()

    def close(self) -> None:
        self._connection.close()


class LeaseFile:
    """The open leases beside the conversations in `directory`; `clock` gives milliseconds since the epoch."""

    def __init__(self, directory: Path, network_filesystem: bool, clock: Callable[[], int]) -> None:
        path = directory / FILE_NAME
        self._clock = clock
        self._holder = Holder(directory)
        self._granted: set[str] = set()
        self._tenancy = Tenancy(THREADS, path, lambda: _open(path, network_filesystem))

    async def change(self, name: str, step: Callable[[LeaseRow, int, Callable[[], int]], tuple[LeaseRow, T]]) -> T:
        """Take one step with a name: from its row, the time, and what gives the next fencing number."""

        def change(rows: Rows) -> T:
            database, now = cast("LeaseDatabase", rows.database), self._clock()
            number = functools.partial(database.next_number, now)

            def change_row(row: LeaseRow) -> tuple[LeaseRow, T]:
                changed, answer = step(self._without_dead(row), now, number)
                return self._held(name, changed), answer

            return database.change(name, now, change_row)

        return await self._tenancy.submit((), change, writes=True)

    def given_back(self, name: str) -> None:
        """Note that this process holds the lease no longer."""
        self._granted.discard(name)

    async def aclose(self) -> None:
        """Close the file. Leases that were not given back last as long as their time and this process."""
        await self._tenancy.aclose()
        if not self._granted:
            self._holder.close()

    def _without_dead(self, row: LeaseRow) -> LeaseRow:
        """Return the row without the lease of a process that has ended."""
        if row.lease is None or not row.lease.holder or not self._holder.is_dead(row.lease.holder):
            return row
        return dataclasses.replace(row, lease=None)

    def _held(self, name: str, row: LeaseRow) -> LeaseRow:
        """Return the row whose new lease, if there is one, is held by this process."""
        if row.lease is None or row.lease.holder:
            return row
        self._granted.add(name)
        return dataclasses.replace(row, lease=dataclasses.replace(row.lease, holder=self._holder.name()))


class EmbeddedLeases(LeaseSupport):
    """`LeaseSupport` in a file; whoever inherits it sets `_leases`."""

    _leases: LeaseFile

    async def acquire(self, name: str, owner: str, duration: int, *, waited: int | None = None) -> LeaseAnswer:
        return await self._leases.change(
            name, lambda row, now, number: row.acquire(owner, duration, waited, now, number)
        )

    async def renew(self, name: str, owner: str, duration: int) -> leases.Lease | None:
        return await self._leases.change(name, lambda row, now, _: row.renew(owner, duration, now))

    async def release(self, name: str, owner: str, *, settled_for: int = 0) -> bool:
        released = await self._leases.change(name, lambda row, now, _: row.release(owner, settled_for, now))
        if released:
            self._leases.given_back(name)
        return released


def _open(path: Path, network_filesystem: bool) -> Database:
    prepare(path.parent, path.name, remote_allowed=network_filesystem)
    with checked_connection(path, SCHEMA, schema_of_mark(TABLE)) as (connection, _):
        checked = inspect(connection.execute, path)
    connection = sqlite3.connect(path, timeout=0, isolation_level=None)
    connection.execute("PRAGMA trusted_schema = OFF")
    # What a power cut takes is over anyway: everybody who had a lease has lost power, too.
    connection.execute("PRAGMA synchronous = NORMAL")
    return LeaseDatabase(connection, checked)


def _decoded(row: object) -> LeaseRow:
    if not isinstance(row, bytes):
        raise CorruptRecord("The store of leases holds a value that is not bytes.")
    return decode_lease(row)
