"""Room for conversations that are yet to come."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from sessionguard.cli.doctor.findings import green, red, yellow
from sessionguard.records import Diagnosis

SUBJECT = "free space"
MEGABYTE = 1_000_000
LEAST, ENOUGH = 20 * MEGABYTE, 500 * MEGABYTE


def check(directory: Path) -> Iterator[Diagnosis]:
    """Look at what is left on the disk of a directory."""
    free = shutil.disk_usage(directory).free
    says = f"{free // MEGABYTE:,} MB are left"
    cure = "make room, or set SESSIONGUARD_RETENTION so that idle conversations go"
    if free < LEAST:
        yield red(SUBJECT, f"{says}: new conversations are about to be refused", cure)
    elif free < ENOUGH:
        yield yellow(SUBJECT, says, cure)
    else:
        yield green(SUBJECT, says)
