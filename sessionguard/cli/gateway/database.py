"""A SQLite database of a gateway, opened so that nothing is written to it or beside it.

A database in WAL mode has a `-wal`, with the latest commits, and a `-shm`, an index into it, while it is in use. SQLite
creates both for a reader, too, unless it is told not to (https://www.sqlite.org/wal.html#read_only_databases):

- With both files there, `readonly_shm=1` reads the index without writing to it.
- Without a `-wal`, all is in the database, and `immutable=1` reads that alone.
- A `-wal` without a `-shm` is a copy that was made while the gateway ran; it is copied once more and read there.
"""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from sessionguard.cli.gateway.errors import ADVICE, Locked, NoSessions, Unreadable

MAGIC = b"SQLite format 3\0"
VERSIONS, WAL_MODE = slice(18, 20), b"\x02\x02"
SHARED_FIRST, SHARED_SIZE = 0x40000002, 510
"""The bytes of the file on which SQLite takes its shared lock."""
BUSY_SECONDS = 5.0
PAUSE_SECONDS = 0.1
USER = "run this as the gateway's user"


def file_head(path: Path) -> bytes:
    """Return the first bytes of a file; raises Unreadable when it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(VERSIONS.stop)
    except FileNotFoundError as error:
        raise Unreadable(f"{path} cannot be read (No such file or directory); {ADVICE}") from error
    except OSError as error:
        raise Unreadable(f"{path} cannot be read ({error.strerror}); {USER}") from error


@contextlib.contextmanager
def connected(path: Path) -> Iterator[sqlite3.Connection]:
    """Yield a connection that only reads.

    Raises Locked while another process has the database locked, Unreadable when it cannot be read.
    """
    head = file_head(path)
    if not head:
        raise NoSessions(f"{path} is empty: it has no tables yet; start its gateway once, and try again")
    if head[: len(MAGIC)] != MAGIC:
        raise Unreadable(f"{path} is not a SQLite database; {ADVICE}")
    # SQLite looks for the two files beside the file that a link leads to.
    place = path.resolve()
    with _translated(path), contextlib.ExitStack() as stack:
        uri = _uri(place, head, stack)
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS)) as connection:
            connection.text_factory = _text
            yield connection


def _uri(place: Path, head: bytes, stack: contextlib.ExitStack) -> str:
    wal, index = place.with_name(f"{place.name}-wal"), place.with_name(f"{place.name}-shm")
    if head[VERSIONS] != WAL_MODE:
        return _read_only(place)
    if wal.exists() and index.exists():
        return f"{_read_only(place)}&readonly_shm=1"
    # A process that has locked the file for itself alone has a -wal and no -shm, so a lock tells it from a copy.
    stack.enter_context(_shared_lock(place))
    if wal.exists() and wal.stat().st_size:
        return _read_only(_copy(place, wal, Path(stack.enter_context(tempfile.TemporaryDirectory()))))
    stack.enter_context(_unchanged(place, wal))
    return f"{_read_only(place)}&immutable=1"


def _read_only(place: Path) -> str:
    return f"file:{quote(str(place))}?mode=ro"


@contextlib.contextmanager
def _shared_lock(place: Path) -> Iterator[None]:
    """Hold the lock of a reader, as SQLite does where it may; raises sqlite3.OperationalError when another has it."""
    end = time.monotonic() + BUSY_SECONDS
    with place.open("rb") as file:
        while True:
            try:
                fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB, SHARED_SIZE, SHARED_FIRST)
                break
            except BlockingIOError as error:
                if time.monotonic() >= end:
                    raise sqlite3.OperationalError("database is locked") from error
                time.sleep(PAUSE_SECONDS)
        yield


@contextlib.contextmanager
def _unchanged(place: Path, wal: Path) -> Iterator[None]:
    """Raise sqlite3.OperationalError at the end when another process has begun to use the database meanwhile."""
    before = _state(place), _state(wal)
    yield
    if (_state(place), _state(wal)) != before:
        raise sqlite3.OperationalError("database is locked: it was changed while it was being read")


def _state(path: Path) -> tuple[int, int] | None:
    with contextlib.suppress(FileNotFoundError):
        status = path.stat()
        return status.st_mtime_ns, status.st_size
    return None


def _copy(place: Path, wal: Path, directory: Path) -> Path:
    try:
        shutil.copyfile(wal, directory / wal.name)
        return Path(shutil.copyfile(place, directory / place.name))
    except OSError as error:
        cure = "TMPDIR names a directory with room for it"
        raise Unreadable(
            f"{place} has a -wal and no -shm, and cannot be copied to be read ({error.strerror}); {cure}"
        ) from error


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise _translation(path, str(error)) from error


def _translation(path: Path, said: str) -> Unreadable | Locked:
    if "locked" in said or "busy" in said:
        return Locked(f"{path} is locked by another process; try again, or stop its gateway meanwhile.")
    if "not a database" in said:
        return Unreadable(f"{path} is not a SQLite database: it begins like one, and is damaged or encrypted")
    if "malformed" in said:
        return Unreadable(f"{path} is damaged ({said}); restore it from a backup, or let its gateway repair it")
    if "readonly" in said:
        return Unreadable(f"{path} was left in the middle of a write; start its gateway once, and try again")
    return Unreadable(f"{path} cannot be read ({said}); {USER}")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
