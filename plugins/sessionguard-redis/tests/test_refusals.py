"""Servers that refuse to write, forget what they were told, or have less room than there are callers."""

from __future__ import annotations

import asyncio

import pytest
from redis_servers import PATIENT, RedisServer, Start, open_store
from sessionguard_redis.store import RedisStore

from sessionguard import StoreUnavailable, Touch

pytestmark = pytest.mark.server


async def test_a_primary_without_enough_replicas_reserves_nothing_and_reads_on(start: Start) -> None:
    """`min-replicas-to-write` bounds what a failover can lose; Redis before 6.2.7 lets scripts pass all the same."""
    server = start()
    store = open_store(server.url + PATIENT)
    record = (await store.reserve("key", "id", None)).record
    with server.talk() as client:
        client.config_set("min-replicas-to-write", 1)
        version = tuple(map(int, client.info()["redis_version"].split(".")))
    if version >= (6, 2, 7):
        with pytest.raises(StoreUnavailable):
            await store.reserve("another", "id", None)
    else:
        assert (await store.reserve("another", "id", None)).created

    assert await store.get("key") == record
    await store.aclose()


async def test_a_full_server_refuses_new_conversations_and_keeps_the_others(start: Start) -> None:
    """It says OOM; established conversations are read, and end when they are forgotten."""
    server = start()
    store = open_store(server.url + PATIENT)
    record = (await store.reserve("key", "id", None)).record
    with server.talk() as client:
        client.config_set("maxmemory", "1")
        client.config_resetstat()
    with pytest.raises(StoreUnavailable):
        await store.reserve("another", "id", None)

    assert (server.calls("evalsha"), server.calls("eval")) == (1, 0), "what is refused is not tried again"
    assert await store.get("key") == record
    assert await store.forget("key", "id")
    await store.aclose()


async def test_more_callers_than_connections_wait_for_their_turn(server: RedisServer) -> None:
    """One connection serves them all, many at a time."""
    store = open_store(f"{server.url}{PATIENT}&connections=1")
    reservations = await asyncio.gather(*(store.reserve(f"key-{n % 50}", f"id-{n}", None) for n in range(1000)))
    with server.talk() as client:
        others = [each for each in client.client_list() if each["cmd"] not in ("client|list", "client")]
    await store.aclose()

    assert sum(each.created for each in reservations) == 50
    assert len(others) == 1


async def test_scripts_that_the_server_forgot_are_sent_again(store: RedisStore, server: RedisServer) -> None:
    """Each verb by itself, and many at once: what was refused was not done, so nothing is done twice."""
    for verb in ("reserve", "touch", "forget"):
        with server.talk() as client:
            client.script_flush()
        if verb == "reserve":
            reservations = await asyncio.gather(*(store.reserve("key", f"id-{n}", None) for n in range(100)))
        elif verb == "touch":
            await store.touch([Touch("key", reservations[0].record.session_id, 0)] * 100)
        else:
            removed = await asyncio.gather(*(store.forget("key", reservations[0].record.session_id) for _ in range(9)))

    assert [each.created for each in reservations].count(True) == 1
    assert removed.count(True) == 1
