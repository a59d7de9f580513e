"""The lines that the application has written, read by the test that started its process."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

SECONDS = 60


class Entry(NamedTuple):
    """An event, its process, and its time in nanoseconds of the clock that all processes share."""

    process: int
    at: int
    key: str
    event: str


class Journal:
    """The lines of one conversation, or of all without a `key`; servers that several tests share have one file."""

    def __init__(self, path: Path, key: str | None = None) -> None:
        self.path = path
        self._key = key
        path.touch()

    @property
    def entries(self) -> list[Entry]:
        lines = (line.split(" ", 3) for line in self.path.read_text().splitlines())
        entries = [Entry(int(process), int(at), key, event) for process, at, key, event in lines]
        return [entry for entry in entries if self._key in (None, entry.key)]

    @property
    def events(self) -> list[str]:
        return [entry.event for entry in self.entries]

    def has(self, event: str) -> None:
        """Wait until it was written."""
        deadline = time.monotonic() + SECONDS
        while event not in self.events:
            assert time.monotonic() < deadline, self.events
            time.sleep(0.01)

    def after(self, event: str) -> list[str]:
        """Return everything, once `event` was written; an answer can be with its client before its turn ends."""
        self.has(event)
        return self.events

    def has_ended(self, count: int) -> None:
        """Wait until so many turns have ended."""
        deadline = time.monotonic() + SECONDS
        while sum(event.startswith("ends") for event in self.events) < count:
            assert time.monotonic() < deadline, self.events
            time.sleep(0.01)

    def has_ended_but(self, count: int) -> None:
        """Wait until all turns have ended but so many, which never will."""
        self.has_ended(sum(event.startswith("begins") for event in self.events) - count)

    def overlaps(self, killed: Mapping[int, int] | None = None) -> list[tuple[Entry, Entry]]:
        """Return the turns that began before another had ended; that of a killed process ended when it was dead."""
        entries, found = self.entries, []
        inside: dict[str, Entry] = {}
        for entry in sorted(entries, key=lambda entry: entry.at):
            verb, _, name = entry.event.partition(" ")
            if verb == "ends":
                del inside[name]
                continue
            found += [
                (each, entry) for each in inside.values() if entry.at < (killed or {}).get(each.process, entry.at + 1)
            ]
            inside[name] = entry
        return found
