"""Rows that this process has seen, and knows to stand without asking: each is good while its generation has not moved.

Only the store thread reads into it and writes through it; whoever likes may recall. What makes that right is in
`generations`: a row is kept only if its slot was even and unchanged around the read, or under the lock.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import cast

from sessionguard.bounded import BoundedMap
from sessionguard.records import SessionRecord
from sessionguard.stores.embedded.database import Found
from sessionguard.stores.embedded.generations import SLOTS, Generations, slot_of

MOST_ROWS = 32_768
MOST_UNASKED = 16_384

Read = Callable[[Collection[str]], MutableMapping[str, Found]]
Remembered = tuple[SessionRecord, Sequence[int], int, int]


class RememberedRows(BoundedMap[str, Remembered]):
    """The rows of one attachment, whose counters are `slots`: those somebody asked for, and those only written.

    The latter are kept apart, so that no number of new conversations drives out those that go on, and as numbers and
    texts alone: tuples of nothing else are let out of the garbage collector, which would otherwise look at every
    conversation that began again and again.
    """

    def __init__(self, slots: Sequence[int]) -> None:
        super().__init__(MOST_ROWS)
        self._slots = slots
        self.unasked: BoundedMap[str, tuple[str, int, int, int, int]] = BoundedMap(MOST_UNASKED)

    def find(self, key: str) -> Remembered | None:
        found = super().find(key)
        if found is None and (written := self.unasked.get(key) or self.unasked.older.get(key)) is not None:
            session_id, started_at, updated_at, slot, generation = written
            found = SessionRecord(session_id, started_at, updated_at), self._slots, slot, generation
            self.unasked.forget(key)
            self.put(key, found)
        return found

    def forget(self, key: str) -> None:
        super().forget(key)
        self.unasked.forget(key)

    def written(self, key: str, record: SessionRecord, slot: int, generation: int) -> None:
        super().forget(key)
        self.unasked.put(key, (record.session_id, record.session_started_at, record.updated_at, slot, generation))


class CoherentMemory:
    """The rows of one database. Detached, as it begins, it remembers nothing."""

    def __init__(self) -> None:
        self._rows = RememberedRows(())
        self._generations: Generations | None = None
        self._absent: dict[str, tuple[int, int]] = {}
        self._moving: Sequence[tuple[str, int, SessionRecord | None]] = ()
        self._marked: Collection[int] = ()

    def __len__(self) -> int:
        return len(self._rows) + len(self._rows.unasked)

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
        generations = self._generations = Generations(path)
        self._rows = RememberedRows(generations.slots)

    def detach(self) -> None:
        """Forget everything, and give the counters back."""
        # A map of its own for every attachment: whoever is using the old one may put something back into it.
        self._rows = RememberedRows(())
        self._absent = {}  # The next file may have what this one had not, and the same counters.
        generations, self._generations = self._generations, None
        if generations is not None:
            generations.close()

    def read(self, keys: Collection[str], read: Read) -> MutableMapping[str, Found]:
        """Return the rows that `read` finds, and keep those that nobody changed until it came back."""
        generations = self._attached
        slots = generations.slots
        before = [(key, slot := slot_of(key), slots[slot]) for key in keys]
        found = read(keys)
        self._absent = {key: (slot, generation) for key, slot, generation in before if key not in found}
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

    def perhaps_there(self, keys: Collection[str]) -> Collection[str]:
        """Return the keys that may have rows: all but those the last read has missed, and nobody has written since.

        The caller holds the lock, so that nobody does.
        """
        slots, absent = self._attached.slots, self._absent
        return [key for key in keys if (at := absent.get(key)) is None or at[1] & 1 or slots[at[0]] != at[1]]

    def before_commit(self, moved: Mapping[str, SessionRecord | None] | None) -> None:
        """From here on nobody may trust what he remembers of the conversations that are `moved`; None is all."""
        known = self._absent
        self._moving = [
            (key, known[key][0] if key in known else slot_of(key), record) for key, record in (moved or {}).items()
        ]
        self._marked = range(SLOTS) if moved is None else [slot for _, slot, _ in self._moving]
        self._attached.begin(self._marked)

    def after_commit(self) -> None:
        """Let everybody trust again, and keep the rows that were written."""
        slots, marked, moved = self._attached.slots, self._marked, self._moving
        self._marked = self._moving = ()
        self._attached.end(marked)
        for key, slot, record in moved:
            if record is not None:
                self._rows.written(key, record, slot, slots[slot])

    @property
    def _attached(self) -> Generations:
        # The store thread attaches it before it runs a job.
        return cast("Generations", self._generations)
