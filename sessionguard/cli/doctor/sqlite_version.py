"""The SQLite that Python brings: before 3.51.3, two connections could damage a database in WAL mode, if rarely."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from sessionguard.cli.doctor.findings import green, yellow
from sessionguard.records import Diagnosis

SUBJECT = "SQLite"
MENDED = (3, 51, 3)


def check() -> Iterator[Diagnosis]:
    """Look at the version of the library."""
    if sqlite3.sqlite_version_info >= MENDED:
        yield green(SUBJECT, f"version {sqlite3.sqlite_version}")
    else:
        yield yellow(
            SUBJECT,
            f"version {sqlite3.sqlite_version} has the WAL-reset bug: two connections that write and checkpoint at the"
            " same moment can, very rarely, damage the file",
            "use a Python with SQLite 3.51.3 or newer, and keep backups until then",
        )
