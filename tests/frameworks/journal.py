"""What an application has noted since a test began."""

from __future__ import annotations

from pathlib import Path


class Journal:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._begin = path.stat().st_size

    @property
    def events(self) -> list[str]:
        return self._path.read_text()[self._begin :].splitlines()
