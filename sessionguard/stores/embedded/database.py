"""What an embedded store needs of the library that opens its file: a transaction and five verbs.

Only the store thread ever calls these. Errors of SQLite pass as they are; the thread knows what they mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from sessionguard.records import SessionRecord


class Database(Protocol):
    """An open connection to one file."""

    def transaction(self) -> AbstractContextManager[object]:
        """Begin immediately, commit at the end, roll back on an exception; never wait for a lock."""

    def get(self, key: str) -> SessionRecord | None:
        """Return the row; raises CorruptRecord for one that this package did not write."""

    def put(self, key: str, record: SessionRecord) -> None:
        """Write the row, in a transaction."""

    def delete(self, key: str) -> None:
        """Remove the row, in a transaction."""

    def page(self, start: str, after: str, limit: int) -> Sequence[tuple[str, SessionRecord]]:
        """Return up to `limit` rows in key order, from `start` on and behind `after`; raises CorruptRecord."""

    def keys(self, after: str, limit: int) -> Sequence[str]:
        """Return up to `limit` keys in key order, behind `after`."""

    def close(self) -> None:
        """Give the file back."""
