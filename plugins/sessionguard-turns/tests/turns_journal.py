"""What the application wrote down, read by the test that started its process."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

SECONDS = 30


class Entry(NamedTuple):
    """What happened, in which process, and when, in nanoseconds of the clock that all processes share."""

    process: int
    at: int
    event: str


class Journal:
    """What the application wrote down."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    @property
    def entries(self) -> list[Entry]:
        lines = (line.split(" ", 2) for line in self.path.read_text().splitlines())
        return [Entry(int(process), int(at), event) for process, at, event in lines]

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
