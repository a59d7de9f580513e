"""Rows go by the retention that was set, by the server's own clock, and never while they are used."""

from __future__ import annotations

import asyncio
import time

import pytest
from redis_servers import PATIENT, RedisServer, open_store
from sessionguard_redis.store import RedisStore
from sessionguard_redis.url import parse

from sessionguard import SessionRecord, Touch

pytestmark = pytest.mark.server

NAME = "sessionguard:key"
DAY = 86_400.0


async def test_without_a_retention_no_row_expires(store: RedisStore, server: RedisServer) -> None:
    """Whether it is new or touched."""
    record = (await store.reserve("key", "id", None)).record
    await moved(store, record.updated_at)
    with server.talk() as client:
        assert client.pttl(NAME) == -1


async def test_a_row_is_kept_for_the_retention_since_its_last_use(server: RedisServer) -> None:
    """A touch counts from when the session was used, not from when that was written."""
    store = open_store(server.url, retention=DAY)
    record = (await store.reserve("key", "id", None)).record
    with server.talk() as client:
        fresh = client.pttl(NAME)
        client.set(NAME, f"1 id {record.session_started_at} {record.updated_at - 3_600_000}", px=60_000)
        await store.touch([Touch("key", "id", 1_800_000)])
        touched = client.pttl(NAME)
    await store.aclose()

    assert 86_400_000 - 60_000 < fresh <= 86_400_000
    assert 86_400_000 - 1_860_000 < touched <= 86_400_000 - 1_800_000


async def test_an_unused_row_goes_and_a_used_one_stays(server: RedisServer) -> None:
    """Used again and again, for longer than an unused one is kept."""
    store = RedisStore(parse(server.url + PATIENT), retention=2_000)
    for key in ("used", "unused"):
        await store.reserve(key, "id", None)
    deadline = time.monotonic() + 60
    while await store.get("unused") is not None and time.monotonic() < deadline:
        await store.touch([Touch("used", "id", 0)])
        await asyncio.sleep(0.02)
    kept = [key async for key, _ in store.scan()]
    await store.aclose()

    assert kept == ["used"]


async def test_a_retention_that_is_taken_away_ends_with_the_next_use(server: RedisServer) -> None:
    """And one that is set begins with it."""
    with_retention, without = open_store(server.url, retention=DAY), open_store(server.url)
    record = (await with_retention.reserve("key", "id", None)).record
    used = await moved(without, record.updated_at)
    with server.talk() as client:
        ends = client.pttl(NAME)
        await moved(with_retention, used)
        begins = client.pttl(NAME)
    await with_retention.aclose()
    await without.aclose()

    assert ends == -1
    assert begins > 0


HOUR = 3_600_000


@pytest.mark.parametrize(
    ("retention", "idle", "left"),
    [
        (None, 5 * HOUR, None),
        (24 * HOUR, 5 * HOUR, 19 * HOUR),
        (24 * HOUR, 24 * HOUR - 60_000, HOUR),
        (24 * HOUR, 1000 * HOUR, HOUR),
        (HOUR // 2, 1000 * HOUR, HOUR // 2),
    ],
)
async def test_a_row_that_moved_in_is_kept_for_the_retention_since_its_last_use(
    server: RedisServer, retention: int | None, idle: int, left: int | None
) -> None:
    """One whose time is up stays for an hour all the same, so that the move sees it arrive."""
    store = RedisStore(parse(server.url), retention=retention)
    used = await store.ping() - idle
    replaced = await store.adopt("key", SessionRecord("first", used - 2000, used - 1000), None)
    with server.talk() as client:
        client.persist(NAME)
        await store.adopt("key", SessionRecord("second", used, used), replaced)
        ends = client.pttl(NAME)
        client.persist(NAME)
        await store.adopt("key", SessionRecord("second", used, used + 1), None)
        refreshed = client.pttl(NAME)
    await store.aclose()

    if left is None:
        assert (ends, refreshed) == (-1, -1)
    else:
        assert left - 60_000 < min(ends, refreshed) <= max(ends, refreshed) <= left + 1


async def moved(store: RedisStore, since: int) -> int:
    """Touch the row until its time has moved."""
    while True:
        await store.touch([Touch("key", "id", 0)])
        record = await store.get("key")
        assert record is not None
        if record.updated_at > since:
            return record.updated_at
