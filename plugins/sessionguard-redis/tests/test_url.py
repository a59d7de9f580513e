"""What the URL may say, and what a mistake in it is answered with."""

from __future__ import annotations

from typing import Any

import pytest
from redis_servers import open_store
from sessionguard_redis.url import RedisUrl, parse

from sessionguard import ConfigurationError


@pytest.mark.parametrize(
    ("url", "place", "connection"),
    [
        ("redis://cache", "redis://cache:6379/0", {"host": "cache", "port": 6379, "db": 0}),
        ("redis://cache:7000/3", "redis://cache:7000/3", {"host": "cache", "port": 7000, "db": 3}),
        ("redis://[::1]:7000", "redis://[::1]:7000/0", {"host": "::1", "port": 7000, "db": 0}),
        ("rediss://cache/", "rediss://cache:6379/0", {"host": "cache", "port": 6379, "db": 0}),
        (
            "rediss://cache?ssl_ca_certs=/ca.pem&ssl_certfile=/me.pem&ssl_keyfile=/me.key",
            "rediss://cache:6379/0",
            {
                "host": "cache",
                "port": 6379,
                "db": 0,
                "ssl_ca_certs": "/ca.pem",
                "ssl_certfile": "/me.pem",
                "ssl_keyfile": "/me.key",
            },
        ),
        ("unix:///run/redis.sock", "unix:///run/redis.sock?db=0", {"path": "/run/redis.sock", "db": 0}),
        ("unix:///run/my%20redis.sock?db=2", "unix:///run/my redis.sock?db=2", {"path": "/run/my redis.sock", "db": 2}),
        (
            "redis://me:secret@cache?prefix=mine%26:&timeout=1",
            "redis://cache:6379/0?prefix=mine%26:",
            {"host": "cache", "port": 6379, "db": 0, "username": "me", "password": "secret"},
        ),
        (
            "unix:///run/redis.sock?prefix=mine:",
            "unix:///run/redis.sock?db=0&prefix=mine:",
            {"path": "/run/redis.sock", "db": 0},
        ),
        (
            "redis://me:p%40ss@cache",
            "redis://cache:6379/0",
            {"host": "cache", "port": 6379, "db": 0, "username": "me", "password": "p@ss"},
        ),
    ],
)
def test_a_url_says_where_and_how(url: str, place: str, connection: dict[str, Any]) -> None:
    """What people may see of it has no password."""
    parsed = parse(url)

    assert (parsed.place, parsed.connection) == (place, connection)
    assert open_store(url).location == place


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", {}),
        ("?prefix=mine:", {"prefix": "mine:", "place": "redis://cache:6379/0?prefix=mine:"}),
        ("?timeout=1.5&connections=20", {"timeout": 1.5, "connections": 20}),
        ("?eviction=allow", {"may_evict": True}),
        ("?eviction=refuse", {"may_evict": False}),
    ],
)
def test_options_stand_behind_the_question_mark(query: str, expected: dict[str, Any]) -> None:
    """Each has a default."""
    plain = parse("redis://cache")

    assert parse(f"redis://cache{query}") == RedisUrl(
        **{"scheme": plain.scheme, "place": plain.place, "connection": plain.connection, **expected}
    )


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis://:secret@cache?conections=3", "no option 'conections'.*; connections?"),
        ("redis://:secret@cache?ssl_ca_certs=/ca.pem", "no option 'ssl_ca_certs'"),
        ("redis://:secret@cache?db=1", "no option 'db'"),
        ("redis://:secret@cache?timeout=1&timeout=2", "given twice"),
        ("redis://:secret@cache?timeout=soon", "timeout=soon is not legal"),
        ("redis://:secret@cache?timeout=0.01", "not between 0.05 and 60"),
        ("redis://:secret@cache?connections=0", "connections=0 is not legal"),
        ("redis://:secret@cache?eviction=yes", "eviction=yes is not legal"),
        ("redis://:secret@cache?prefix=", "prefix= is not legal"),
        ("redis://:secret@cache/first", "write redis://host:port/number"),
        ("redis://:secret@cache:port", "write redis://host:port/number"),
        ("redis://:secret@cache#fragment", "write redis://host:port/number"),
        ("redis:", "write redis://host:port/number"),
        ("unix://:secret@host/run/redis.sock", "unix:///path/to/socket"),
        ("unix:relative.sock", "unix:///path/to/socket"),
    ],
)
def test_a_mistake_is_told_without_the_password(url: str, told: str) -> None:
    """And before anything is connected."""
    with pytest.raises(ConfigurationError, match=told) as refused:
        parse(url)

    assert "secret" not in str(refused.value)


def test_a_password_is_in_no_text_about_the_store() -> None:
    """Neither where it is, nor what a debugger shows."""
    assert "secret" not in open_store("redis://me:secret@cache").location + repr(parse("redis://me:secret@cache"))
