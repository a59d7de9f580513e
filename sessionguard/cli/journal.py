"""A file of JSON lines that several processes may append to at the same time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


class Journal:
    """The entries of the file at `path`, which is made by the first of them."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, entry: Any) -> int:
        """Add `entry` and return how many entries stand before it."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # One unbuffered write in append mode: lines of several processes never mix, and the position is our own end.
        with self._path.open("ab+", buffering=0) as file:
            file.write(json.dumps(entry).encode() + b"\n")
            end = file.tell()
            file.seek(0)
            return file.read(end).count(b"\n") - 1

    def entries(self) -> list[Any]:
        """Return all entries, none when there is no file."""
        if not self._path.exists():
            return []
        return [json.loads(line) for line in self._path.read_bytes().splitlines()]
