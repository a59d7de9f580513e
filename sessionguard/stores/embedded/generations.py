"""Counters that every process of the host sees: one 64-bit slot per hash of a row key, in a small mapped file.

A slot that has not moved says that no row behind it was given another session meanwhile. Whoever changes a row holds
the lock of the file around: slot odd, commit, slot even and higher. Without the lock one writer's "finished" could
land inside another writer's "started", and a reader would keep a row that is about to change. It also queues writers,
so that none of them meets SQLite's sleeps. A writer that dies leaves its slots odd: nothing behind them is remembered
until the next write, or until a reader that gets the lock heals them; that costs speed and never an answer.

The file is none of SQLite's own, because closing one of those drops SQLite's locks. Two file descriptions are opened:
what `mmap` duplicates must not be the one that holds the lock, or a forked child could keep it for a dead parent.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import struct
from collections.abc import Collection, Iterator
from hashlib import blake2b
from pathlib import Path

from sessionguard.errors import ConfigurationError
from sessionguard.stores.embedded.place import make_private_file

SLOTS = 65_536
HEADER = struct.pack("<16sQQ", b"sessionguard-gen", 1, SLOTS)
SIZE = len(HEADER) + 8 * SLOTS


def beside(database: Path) -> Path:
    """Return the path of the counters that belong to a database."""
    return database.with_name(f"{database.name}-generations")


class Generations:
    """The open counters in `path`.

    Raises ConfigurationError for a file that is not ours, BlockingIOError while another process holds the lock, and
    OSError when there is no room for it.
    """

    def __init__(self, path: Path) -> None:
        make_private_file(path)
        self._lock = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            with self.locked():
                self._initialise(path)
            self.slots = self._mapped(path)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give the lock back. The mapping goes with its last reader, who may be looking at it right now."""
        os.close(self._lock)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep every other process from writing; raises BlockingIOError instead of waiting."""
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            yield
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    def begin(self, slots: Collection[int]) -> None:
        """Say that rows behind these slots are about to change; the caller holds the lock."""
        for slot in slots:
            self.slots[slot] |= 1  # Not + 1: a writer that died may have left it odd.

    def end(self, slots: Collection[int]) -> None:
        """Say that the change is over, whether it was made or not; the caller holds the lock."""
        for slot in slots:
            self.slots[slot] = (self.slots[slot] | 1) + 1

    def heal(self, slot: int) -> None:
        """End what a writer that died has begun, unless somebody is writing right now."""
        with contextlib.suppress(BlockingIOError), self.locked():
            self.end([slot])

    def _initialise(self, path: Path) -> None:
        found = os.pread(self._lock, len(HEADER), 0)
        if not found.strip(b"\0"):
            # A hole would be a SIGBUS on a full disk instead of an error; the header comes last, when all is there.
            os.posix_fallocate(self._lock, 0, SIZE)
            os.pwrite(self._lock, HEADER, 0)
        elif found != HEADER or os.fstat(self._lock).st_size != SIZE:
            raise ConfigurationError(
                f"store: {path} was not made by this version; stop every process that uses the store, remove it, and"
                " start them again"
            )

    def _mapped(self, path: Path) -> memoryview:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            return memoryview(mmap.mmap(file, SIZE))[len(HEADER) :].cast("Q")
        finally:
            os.close(file)


def slot_of(key: str) -> int:
    """Return the slot of a row key, the same in every process (the built-in `hash` is not)."""
    return int.from_bytes(blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little") % SLOTS
