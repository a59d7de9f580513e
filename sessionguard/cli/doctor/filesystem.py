"""The file system under an embedded store: its locks must hold, and it must not be a passing one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sessionguard.cli.doctor.findings import green, red, yellow
from sessionguard.records import Diagnosis
from sessionguard.stores.embedded import place

SUBJECT = "file system"


def check(directory: Path, *, network_allowed: bool) -> Iterator[Diagnosis]:
    """Look at the file system `directory` is on; `network_allowed` is what the URL of the store says."""
    kind = place.file_system(directory)
    if kind is None:
        yield yellow(SUBJECT, "this host does not say which it is", "make sure that it is a local disk")
    elif not place.is_remote(kind):
        yield green(SUBJECT, f"{kind}, on this host")
    elif network_allowed:
        yield yellow(
            SUBJECT, f"{kind} is one of a network, and the URL allows it", "make sure that one host alone ever opens it"
        )
    else:
        yield red(SUBJECT, f"{kind} is one of a network: its locks cannot be trusted", "use a local disk, or a server")
