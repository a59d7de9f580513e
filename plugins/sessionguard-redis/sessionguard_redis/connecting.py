"""Connections of redis-py that do what they are told, once."""

from __future__ import annotations

from typing import Any

from redis.asyncio import Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from sessionguard_redis.redirection import Address
from sessionguard_redis.url import RedisUrl

NO_HOST = ("", "?")
"""What a server says that does not know by which name it was reached."""

KINDS: dict[str, type[AbstractConnection]] = {
    "redis": Connection,
    "rediss": SSLConnection,
    "unix": UnixDomainSocketConnection,
}


def connection_to(url: RedisUrl, address: Address | None) -> AbstractConnection:
    """Return a connection, not made yet, to the server of the URL, or to another of its cluster."""
    options: dict[str, Any] = dict(url.connection)
    if address is not None:
        host, port = address
        options |= {"host": options["host"] if host in NO_HOST else host, "port": port}
    if url.scheme == "rediss":
        options["ssl_check_hostname"] = True  # Not the default of redis-py 5.
    # Without `retry`, redis-py connects again and sends again by itself. One deadline for all is the lane's business.
    return KINDS[url.scheme](
        **options, protocol=2, retry=Retry(NoBackoff(), 0), socket_timeout=None, socket_connect_timeout=url.timeout
    )
