"""The plugin: offers the store under its schemes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from sessionguard import hookimpl

if TYPE_CHECKING:
    from sessionguard import GuardSettings, SessionStore

SCHEMES = ("redis", "rediss", "unix")


class RedisPlugin:
    """`redis:`, `rediss:` and `unix:`; redis-py is imported when one of them is chosen."""

    @hookimpl
    def sessionguard_register_stores(self) -> Mapping[str, Callable[[str, GuardSettings], SessionStore]]:
        return dict.fromkeys(SCHEMES, _redis)


def _redis(url: str, settings: GuardSettings) -> SessionStore:
    from sessionguard_redis.store import RedisStore

    return RedisStore.from_url(url, settings)
