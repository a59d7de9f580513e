"""The directory and the file of an embedded store: whose they are, and who else may look."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from sessionguard.cli.doctor.findings import green, red
from sessionguard.records import Diagnosis

SUBJECT = "owner and mode"


def check(directory: Path, file_name: str) -> Iterator[Diagnosis]:
    """Look at a directory that exists, and at the database in it."""
    paths = ((directory, 0o700, stat.S_ISDIR), (directory / file_name, 0o600, stat.S_ISREG))
    wrong = [diagnosis for path, mode, is_kind in paths for diagnosis in _check(path, mode, is_kind(_mode(path)))]
    yield from wrong or [green(SUBJECT, f"{directory} is ours, and nobody else's")]


def _check(path: Path, mode: int, is_kind: bool) -> Iterator[Diagnosis]:
    status = path.lstat()
    if not is_kind:
        yield red(SUBJECT, f"{path} is a link, or no file of ours at all", "name the real place in SESSIONGUARD_STORE")
    elif status.st_uid != os.geteuid():
        yield red(
            SUBJECT,
            f"{path} belongs to user {status.st_uid}, and we are user {os.geteuid()}",
            "run this as the user the application runs as; if this is he: chown it",
        )
    elif stat.S_IMODE(status.st_mode) != mode:
        yield red(SUBJECT, f"{path} has the mode {stat.S_IMODE(status.st_mode):o}", f"chmod {mode:o} {path}")


def _mode(path: Path) -> int:
    return path.lstat().st_mode
