"""The disk store: conversations in a diskcache, as `disk:` URLs name it."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from sessionguard.store import wall_clock
from sessionguard.stores.disk.opening import open_database
from sessionguard.stores.embedded import url
from sessionguard.stores.embedded.store import EmbeddedStore

if TYPE_CHECKING:
    from sessionguard.settings import GuardSettings

DATABASE = "cache.db"


class DiskStore(EmbeddedStore):
    """`synchronous` is `full` or `normal`; `retention` is in milliseconds, `clock` gives milliseconds."""

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        synchronous: str = "full",
        network_filesystem: bool = False,
        retention: int | None = None,
        clock: Callable[[], int] = wall_clock,
    ) -> None:
        opener = functools.partial(open_database, synchronous=synchronous, remote_allowed=network_filesystem)
        super().__init__(Path(directory), DATABASE, opener, retention=retention, clock=clock)

    @classmethod
    def from_url(cls, text: str, settings: GuardSettings) -> DiskStore:
        """Read `disk:`, `disk:///path` and the options `synchronous` and `network_filesystem`."""
        directory, synchronous, network_filesystem, retention = url.parse(text, settings)
        return cls(directory, synchronous=synchronous, network_filesystem=network_filesystem, retention=retention)
