"""What an embedded store needs of the library that opens its file: a transaction and five verbs.

Only the store thread ever calls these. Errors of SQLite pass as they are; the thread knows what they mean.
"""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

from sessionguard.errors import CorruptRecord
from sessionguard.records import SessionRecord
from sessionguard.stores.embedded.retirement import RetirementMark

MOST_PLACES = 900
"""SQLite before 3.32 takes no more than 999 values in one statement."""

Found = SessionRecord | CorruptRecord

T = TypeVar("T")


class Database(Protocol):
    """An open connection to one file."""

    mark: RetirementMark
    """What says that its conversations were moved."""

    def transaction(self) -> AbstractContextManager[object]:
        """Begin immediately, commit at the end, roll back on an exception; never wait for a lock."""

    def read(self, keys: Collection[str]) -> MutableMapping[str, Found]:
        """Return the rows there are; in place of one that this package did not write, the error that says so."""

    def write(self, rows: Mapping[str, SessionRecord]) -> None:
        """Write the rows, in a transaction."""

    def delete(self, keys: Collection[str]) -> None:
        """Remove the rows, in a transaction."""

    def page(self, start: str, after: str, limit: int) -> Sequence[tuple[str, SessionRecord]]:
        """Return up to `limit` rows in key order, from `start` on and behind `after`; raises CorruptRecord."""

    def keys(self, after: str, limit: int) -> Sequence[str]:
        """Return up to `limit` keys in key order, behind `after`."""

    def close(self) -> None:
        """Give the file back."""


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Begin immediately, as the only writer, and commit at the end; roll back on an exception."""
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        yield


def portions(values: Iterable[T], places: int) -> Iterator[Sequence[T]]:
    """Yield the values in portions that fit into one statement, which has so many places for each."""
    rest = iter(values)
    while portion := list(itertools.islice(rest, MOST_PLACES // places)):
        yield portion


def marks(count: int, each: str = "?") -> str:
    """Return so many places for values, as SQL."""
    return ", ".join([each] * count)


def beginning(start: str, after: str) -> tuple[str, str]:
    """Return the comparison that keys of a page must pass, as an operator of SQL and the key beside it.

    It is one, because of two SQLite would seek the first alone, and step over all rows between them on every page.
    """
    return (">", after) if after else (">=", start)


def read_or_blame(decode: Callable[..., SessionRecord], *stored: object) -> Found:
    """Return the row that is stored, or the error that it is none."""
    try:
        return decode(*stored)
    except CorruptRecord as error:
        return error
