"""What a power cut leaves of an embedded store: its journal, and how often it waits for the disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sessionguard.cli.doctor.findings import green, red, yellow
from sessionguard.records import Diagnosis

SUBJECT = "journal"
VERSIONS = slice(18, 20)
WAL = b"\x02\x02"


def check(database: Path, synchronous: str) -> Iterator[Diagnosis]:
    """Look at the head of a database that is not open in this process; `synchronous` is what the URL says.

    The head and not the library, because a look at it leaves no trace.
    """
    with database.open("rb") as file:
        head = file.read(VERSIONS.stop)
    if head and head[VERSIONS] != WAL:
        yield red(
            SUBJECT,
            "the database is not in WAL mode: somebody has changed it",
            "stop the workers, and run: sqlite3 FILE 'PRAGMA journal_mode = wal'",
        )
    elif synchronous != "full":
        yield yellow(
            SUBJECT,
            f"WAL, synchronous={synchronous}: a power cut can take the last conversations with it",
            "take synchronous out of the URL",
        )
    else:
        yield green(SUBJECT, "WAL, synchronous=full: what was acknowledged is on the disk")
