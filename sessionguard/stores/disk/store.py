"""The disk store: conversations in a diskcache, as `disk:` URLs name it."""

from __future__ import annotations

from sessionguard.stores.disk.opening import open_database
from sessionguard.stores.embedded.store import EmbeddedStore


class DiskStore(EmbeddedStore):
    """Rows in a diskcache that trusts nothing."""

    file_name = "cache.db"
    open_database = staticmethod(open_database)
