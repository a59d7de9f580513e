"""The built-in stores, offered by URL scheme like anybody else's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from sessionguard.hookspecs import hookimpl

if TYPE_CHECKING:
    from sessionguard.settings import GuardSettings
    from sessionguard.store import SessionStore


class BuiltinStores:
    """`memory:`, `disk:` and `sqlite:`; their modules are imported when the scheme is chosen."""

    @hookimpl
    def sessionguard_register_stores(self) -> Mapping[str, Callable[[str, GuardSettings], SessionStore]]:
        return {"memory": _memory, "disk": _disk, "sqlite": _sqlite}


def _memory(url: str, settings: GuardSettings) -> SessionStore:
    from sessionguard.stores.memory import MemoryStore

    return MemoryStore.from_url(url, settings)


def _disk(url: str, settings: GuardSettings) -> SessionStore:
    from sessionguard.stores.disk.store import DiskStore

    return DiskStore.from_url(url, settings)


def _sqlite(url: str, settings: GuardSettings) -> SessionStore:
    from sessionguard.stores.sqlite import SqliteStore

    return SqliteStore.from_url(url, settings)
