"""Rows that this process has seen, and knows to stand without asking: each is good while its generation has not moved.

Only the store thread reads into it and writes through it; whoever likes may recall. What makes that right is in
`generations`: a row is kept only if its slot was even and unchanged around the read, or under the lock.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

from sessionguard.bounded import BoundedMap
from sessionguard.records import SessionRecord
from sessionguard.stores.embedded.database import Found
from sessionguard.stores.embedded.generations import SLOTS, Generations, slot_of

MOST_ROWS = 32_768

Read = Callable[[Collection[str]], Mapping[str, Found]]
Remembered = tuple[SessionRecord, memoryview, int, int]


class CoherentMemory:
    """The rows of one database. Detached, as it begins, it remembers nothing."""

    def __init__(self) -> None:
        self._rows: BoundedMap[str, Remembered] = BoundedMap(MOST_ROWS)
        self._generations: Generations | None = None
        self._moving: Sequence[tuple[str, int, SessionRecord | None]] = ()
        self._marked: Collection[int] = ()

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

    def read(self, keys: Collection[str], read: Read) -> Mapping[str, Found]:
        """Return the rows that `read` finds, and keep those that nobody changed until it came back."""
        generations = self._attached
        slots = generations.slots
        before = [(key, slot := slot_of(key), slots[slot]) for key in keys]
        found = read(keys)
        for key, slot, generation in before:
            record = found.get(key)
            if generation & 1:
                generations.heal(slot)
            elif not isinstance(record, SessionRecord):
                self._rows.forget(key)
            elif slots[slot] == generation:
                self._rows.put(key, (record, slots, slot, generation))
        return found

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the lock around a transaction and all that belongs to it; raises BlockingIOError."""
        generations = self._attached
        with generations.locked():
            try:
                yield
            finally:
                generations.end(self._marked)
                self._marked = ()

    def before_commit(self, moved: Mapping[str, SessionRecord | None] | None) -> None:
        """From here on nobody may trust what he remembers of the conversations that are `moved`; None is all."""
        self._moving = [] if moved is None else [(key, slot_of(key), record) for key, record in moved.items()]
        self._marked = range(SLOTS) if moved is None else [slot for _, slot, _ in self._moving]
        self._attached.begin(self._marked)

    def after_commit(self) -> None:
        """Let everybody trust again, and keep the rows that were written."""
        slots, marked = self._attached.slots, self._marked
        self._marked = ()
        self._attached.end(marked)
        for key, slot, record in self._moving:
            if record is not None:
                self._rows.put(key, (record, slots, slot, slots[slot]))

    @property
    def _attached(self) -> Generations:
        # The store thread attaches it before it runs a job.
        return cast("Generations", self._generations)
