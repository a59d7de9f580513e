"""The rows that a batch of jobs is about: read together, changed in memory, written together.

Every statement costs the store thread its turn at the interpreter, so what waits together is one statement each way.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, MutableMapping

from sessionguard.errors import CorruptRecord
from sessionguard.records import Retirement, SessionRecord
from sessionguard.stores.embedded.database import Database, Found


class Rows:
    """Those that were `found` in the database, and what has been made of them since."""

    def __init__(self, database: Database, found: MutableMapping[str, Found]) -> None:
        self.database = database
        self._found = found
        self._changed: dict[str, SessionRecord | None] = {}
        self._moved: dict[str, SessionRecord | None] = {}
        self._all_moved = False

    @property
    def moved(self) -> Mapping[str, SessionRecord | None] | None:
        """The conversations that were given another session, with their rows, or none; None for all there are."""
        return None if self._all_moved else self._moved

    def get(self, key: str) -> SessionRecord | None:
        """Return the row as it is by now; raises CorruptRecord for one that this package did not write."""
        row = self._found.get(key)
        if isinstance(row, CorruptRecord):
            raise row.with_traceback(None)
        return row

    def fetch(self, keys: Collection[str]) -> None:
        """Read some more; what was changed already is in the database only later."""
        self._found.update(self.database.read([key for key in keys if key not in self._changed]))

    def put(self, key: str, row: SessionRecord) -> None:
        """Give the conversation this session."""
        self._found[key] = self._changed[key] = self._moved[key] = row

    def touch(self, key: str, row: SessionRecord) -> None:
        """Say that the session was used; it stays the one it is."""
        self._found[key] = self._changed[key] = row

    def delete(self, key: str) -> None:
        self._found.pop(key, None)
        self._changed[key] = self._moved[key] = None

    def flush(self) -> None:
        """Write what was changed, in a transaction."""
        self.database.write({key: row for key, row in self._changed.items() if row is not None})
        self.database.delete([key for key, row in self._changed.items() if row is None])
        self._changed.clear()

    def retire(self, retirement: Retirement) -> None:
        """Mark the database, in a transaction, behind what was changed so far; no memory of it counts any more."""
        self.flush()  # The mark stops all writes.
        self.database.mark.put(retirement)
        self._all_moved = True
