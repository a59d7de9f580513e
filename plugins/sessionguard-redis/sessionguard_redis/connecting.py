"""Connections of redis-py that do what they are told, once."""

from __future__ import annotations

from typing import Any

from redis.asyncio import Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from sessionguard_redis.url import RedisUrl

KINDS: dict[str, type[AbstractConnection]] = {
    "redis": Connection,
    "rediss": SSLConnection,
    "unix": UnixDomainSocketConnection,
}


def connection_to(url: RedisUrl) -> AbstractConnection:
    """Return a connection that is not made yet."""
    options: dict[str, Any] = dict(url.connection)
    if url.scheme == "rediss":
        options["ssl_check_hostname"] = True  # Not the default of redis-py 5.
    # Without `retry`, redis-py connects again and sends again by itself. One deadline for all is the lane's business.
    return KINDS[url.scheme](
        **options, protocol=2, retry=Retry(NoBackoff(), 0), socket_timeout=None, socket_connect_timeout=url.timeout
    )
