"""A gateway's session file, in whichever of its two forms it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from sessionguard.cli.gateway.json_file import JsonFile
from sessionguard.cli.gateway.sqlite_file import MAGIC, SqliteFile
from sessionguard.errors import ConfigurationError


class GatewayFile(Protocol):
    """Entries, and how far their reading has come."""

    size: int
    position: int

    def entries(self) -> Iterator[tuple[str, Any]]:
        """Yield session keys as the gateway has them, and their entries."""


def open_file(path: Path) -> GatewayFile:
    """Return the file at `path`, told by how it begins; raises ConfigurationError for one that cannot be read."""
    try:
        with path.open("rb") as file:
            head = file.read(len(MAGIC))
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read ({error.strerror})") from error
    return SqliteFile(path) if head == MAGIC else JsonFile(path)
