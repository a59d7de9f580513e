"""Rows that this process has seen, and knows to stand without asking: each is good while its generation has not moved.

Only the store thread reads into it and writes through it; whoever likes may recall. What makes that right is in
`generations`: a row is kept only if its slot was even and unchanged around the read, or under the lock.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

from sessionguard.bounded import BoundedMap
from sessionguard.records import SessionRecord
from sessionguard.stores.embedded.generations import Generations, slot_of

MOST_ROWS = 32_768

Remembered = tuple[SessionRecord, memoryview, int, int]


class CoherentMemory:
    """The rows of one database. Detached, as it begins, it remembers nothing."""

    def __init__(self) -> None:
        self._rows: BoundedMap[str, Remembered] = BoundedMap(MOST_ROWS)
        self._generations: Generations | None = None
        self._moved: dict[str, SessionRecord | None] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def recall(self, key: str) -> SessionRecord | None:
        """Return the row if it certainly stands at this moment; None when only the database can tell."""
        rows = self._rows
        remembered = rows.get(key) or rows.find(key)
        if remembered is None:
            return None
        record, slots, slot, generation = remembered
        return record if slots[slot] == generation else None

    def attach(self, path: Path) -> None:
        """Begin to remember, by the counters in `path`; raises as `Generations` does."""
        self._generations = Generations(path)

    def detach(self) -> None:
        """Forget everything, and give the counters back."""
        # A map of its own for every attachment: whoever is using the old one may put something back into it.
        self._rows = BoundedMap(MOST_ROWS)
        generations, self._generations = self._generations, None
        if generations is not None:
            generations.close()

    def read(self, key: str, get: Callable[[str], SessionRecord | None]) -> SessionRecord | None:
        """Return the row that `get` finds, and keep it if nobody changed it meanwhile."""
        generations, slot = self._attached, slot_of(key)
        before = generations.slots[slot]
        record = get(key)
        if before & 1:
            generations.heal(slot)
        elif record is not None and generations.slots[slot] == before:
            self._rows.put(key, (record, generations.slots, slot, before))
        return record

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the lock around a transaction and all that belongs to it; raises BlockingIOError."""
        generations = self._attached
        with generations.locked():
            self._moved.clear()
            try:
                yield
            finally:
                generations.end([*map(slot_of, self._moved)])

    def move(self, key: str, record: SessionRecord | None) -> None:
        """Note, in a transaction, that the conversation has another row now, or none."""
        self._moved[key] = record

    def before_commit(self) -> None:
        """From here on nobody may trust what he remembers of the conversations that were moved."""
        self._attached.begin([*map(slot_of, self._moved)])

    def after_commit(self) -> None:
        """Let everybody trust again, and keep the rows that were written."""
        generations = self._attached
        moved = [(key, record, slot_of(key)) for key, record in self._moved.items()]
        self._moved.clear()
        generations.end([slot for _, _, slot in moved])
        for key, record, slot in moved:
            if record is not None:
                self._rows.put(key, (record, generations.slots, slot, generations.slots[slot]))

    @property
    def _attached(self) -> Generations:
        # The store thread attaches it before it runs a job.
        return cast("Generations", self._generations)
