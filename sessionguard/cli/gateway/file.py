"""A session store of a gateway, of either generation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from sessionguard.cli.gateway.database import MAGIC, file_head
from sessionguard.cli.gateway.errors import NoSessions
from sessionguard.cli.gateway.home import AgentStore
from sessionguard.cli.gateway.json_file import JsonFile
from sessionguard.cli.gateway.sqlite_file import SqliteFile


class GatewayFile(Protocol):
    """The valid entries of a store, and how far reading them has come."""

    size: int
    position: int
    invalid: int
    """Rows that are not valid to the gateway either."""

    @property
    def kind(self) -> str:
        """The generation of the store, for people."""

    @property
    def agent(self) -> str | None:
        """The agent that the file itself names, None when it names none."""

    def entries(self) -> Iterator[tuple[str, Any]]:
        """Yield session keys as the gateway has them, and their entries."""


def open_file(path: Path) -> GatewayFile:
    """Return the file at `path`; raises Unreadable, or Locked while another process keeps others out."""
    return SqliteFile(path) if is_database(path) else JsonFile(path)


def is_database(path: Path) -> bool:
    """Whether a file is a database, or should be one by its name; raises Unreadable."""
    return file_head(path).startswith(MAGIC) or path.suffix == ".sqlite"


def open_newest(store: AgentStore) -> tuple[GatewayFile, Path, str | None]:
    """Return the file of a store that its gateway uses, its path, and a remark about the one that is not read."""
    if store.older is None:
        return open_file(store.path), store.path, None
    try:
        file = open_file(store.path)
    except NoSessions:
        return open_file(store.older), store.older, f"{store.path.name} beside it holds no sessions"
    if file.size == 0:
        return open_file(store.older), store.older, f"{store.path.name} beside it holds no sessions yet"
    return file, store.path, f"{store.older} is older and was not read: the gateway itself reads only its database"
