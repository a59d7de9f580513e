"""The plugin: offers the store by its URL schemes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sessionguard import GuardSettings, SessionStore, hookimpl
from sessionguard_postgres.store import PostgresStore


class PostgresPlugin:
    """`postgresql:`, and `postgres:` for those who are used to it."""

    @hookimpl
    def sessionguard_register_stores(self) -> Mapping[str, Callable[[str, GuardSettings], SessionStore]]:
        return {"postgresql": PostgresStore.from_url, "postgres": PostgresStore.from_url}
