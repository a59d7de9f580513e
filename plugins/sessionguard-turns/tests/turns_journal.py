"""What the application wrote down, read by the test that started its process."""

from __future__ import annotations

import time
from pathlib import Path


class Journal:
    """What the application wrote down."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    @property
    def events(self) -> list[str]:
        return [line.partition(" ")[2] for line in self.lines]

    @property
    def lines(self) -> list[str]:
        """Each behind the process that has written it."""
        return self.path.read_text().splitlines()

    def has(self, event: str) -> None:
        """Wait until it was written."""
        deadline = time.monotonic() + 20
        while event not in self.events:
            assert time.monotonic() < deadline, self.events
            time.sleep(0.01)

    def after(self, event: str) -> list[str]:
        """Return everything, once `event` was written; an answer can be with its client before its turn ends."""
        self.has(event)
        return self.events

    def has_ended(self, count: int) -> None:
        """Wait until so many turns have ended."""
        deadline = time.monotonic() + 20
        while sum(event.startswith("ends") for event in self.events) < count:
            assert time.monotonic() < deadline, self.events
            time.sleep(0.01)
