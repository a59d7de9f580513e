"""`openclaw-agent.sqlite`: the table of session entries in the database of an agent."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sessionguard.errors import ConfigurationError, StoreUnavailable

MAGIC = b"SQLite format 3\0"
PAGE = 500

_COUNT = "SELECT count(*) FROM session_entries"
_PAGE = (
    "SELECT session_key, session_id, updated_at, entry_json FROM session_entries WHERE session_key > ?"
    " ORDER BY session_key LIMIT ?"
)


class SqliteFile:
    """The database at `path`, which its gateway may be using; `position` runs to `size`, both in entries."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.position = 0
        with self._connected() as connection:
            (self.size,) = connection.execute(_COUNT).fetchone()

    def entries(self) -> Iterator[tuple[str, Any]]:
        """Yield keys and entries, page by page, so that the gateway is never kept from its own upkeep."""
        with self._connected() as connection:
            after = ""
            while page := connection.execute(_PAGE, (after, PAGE)).fetchall():
                for key, session_id, updated_at, text in page:
                    self.position += 1
                    # The columns are what the gateway itself looks at.
                    yield key, {**_fields(text), "sessionId": session_id, "updatedAt": updated_at}
                after = page[-1][0]

    @contextlib.contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        try:
            with contextlib.closing(sqlite3.connect(f"file:{quote(str(self._path))}?mode=ro", uri=True)) as connection:
                yield connection
        except sqlite3.OperationalError as error:
            if "locked" in str(error) or "busy" in str(error):
                raise StoreUnavailable(f"{self._path} is busy; try again.") from error
            raise ConfigurationError(f"{self._path} is no database of an OpenClaw agent ({error})") from error
        except sqlite3.DatabaseError as error:
            raise ConfigurationError(f"{self._path} cannot be read ({error})") from error


def _fields(text: object) -> dict[str, Any]:
    try:
        fields = json.loads(str(text))
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}
