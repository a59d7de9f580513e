"""`openclaw-agent.sqlite`: the valid entries in the database of an agent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sessionguard.cli.gateway.database import connected
from sessionguard.cli.gateway.entry import time_of
from sessionguard.cli.gateway.schema import NEWEST, entry_table, read_schema

PAGE = 500


class SqliteFile:
    """The database at `path`, which its gateway may be using; `position` runs to `size`, both in valid entries.

    `invalid` counts the rows that the gateway itself does not take for sessions.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.position = 0
        with connected(path) as connection:
            schema = read_schema(connection)
            self._table = table = entry_table(schema, path)
            rows, self.size = connection.execute(f"SELECT count(*), total({table.valid}) FROM {table.name}").fetchone()
        self.size = int(self.size)
        self.invalid = rows - self.size
        self.agent = schema.agent
        self.kind = schema.name if (schema.version or 0) <= NEWEST else f"{schema.name}, newer than the newest known"

    def entries(self) -> Iterator[tuple[str, Any]]:
        """Yield keys and entries, page by page, so that the gateway can go on writing and checkpointing."""
        table = self._table
        page_of = (
            f"SELECT CAST(session_key AS BLOB), {table.session_id}, {table.updated_at}, entry_json FROM {table.name}"
            f" WHERE session_key > CAST(? AS TEXT) AND {table.valid} ORDER BY session_key LIMIT ?"
        )
        self.position, after = 0, b""
        with connected(self._path) as connection:
            while page := connection.execute(page_of, (after, PAGE)).fetchall():
                for key, session_id, updated_at, text in page:
                    self.position += 1
                    # The gateway finds a session by the columns; the rest of the entry is in its JSON.
                    fields = {**_fields(text), "sessionId": session_id}
                    yield (
                        key.decode("utf-8", "replace"),
                        fields if time_of(updated_at) is None else {**fields, "updatedAt": updated_at},
                    )
                # As bytes, since a key that is not UTF-8 would be compared as another one.
                after = page[-1][0]


def _fields(text: object) -> dict[str, Any]:
    try:
        fields = json.loads(str(text))
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}
