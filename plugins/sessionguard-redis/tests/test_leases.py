"""Leases in Redis beyond the contract: what they leave behind, who is called, and what happens when nobody is heard."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Callable

import pytest
from ears_after_fork import told_by
from redis_readme import README
from redis_servers import PATIENT, RedisServer, Start, open_store
from sessionguard_redis import hearing
from sessionguard_redis.store import RedisStore

from sessionguard import ConfigurationError, CorruptRecord, StoreUnavailable
from sessionguard.ear import Listening
from sessionguard.testing.queueing import number_of

pytestmark = pytest.mark.server

NAME, KEY, MINUTE = "turn/a", b"sessionguard:\xffturn/a", 60_000

FORK = """
import sys
from sessionguard import GuardSettings
from sessionguard_redis.store import RedisStore

store = RedisStore.from_url(sys.argv[1], GuardSettings())
"""


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sessionguard.ear.SHORTEST_PAUSE", 0.02)
    monkeypatch.setattr("sessionguard.ear.LONGEST_PAUSE", 0.05)


async def until(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def coming(listening: Listening) -> asyncio.Future[None]:
    """What is called from now on."""
    await until(listening.coming)
    called = listening.coming()
    assert called is not None
    return called


async def test_a_name_is_forgotten_a_minute_after_its_last_use(store: RedisStore, server: RedisServer) -> None:
    """Or when its lease ends, if that is later; a lease that was given back shortens it again."""
    with server.talk() as client:
        await store.acquire(NAME, "a", 5000)
        after_short = client.pttl(KEY)
        await store.renew(NAME, "a", 5 * MINUTE)
        after_long = client.pttl(KEY)
        await store.release(NAME, "a")
        after_all = client.pttl(KEY)

    assert [1, 5, 1] == [round(each / MINUTE) for each in (after_short, after_long, after_all)]


async def test_a_name_that_is_settled_for_long_is_remembered_for_as_long(
    store: RedisStore, server: RedisServer
) -> None:
    """Else it would be given to somebody after a minute."""
    await store.acquire(NAME, "a", MINUTE)
    await store.release(NAME, "a", settled_for=5 * MINUTE)
    with server.talk() as client:
        assert 5 == round(client.pttl(KEY) / MINUTE)


async def test_numbers_grow_although_the_clock_is_set_back(store: RedisStore, server: RedisServer) -> None:
    """Within the minute in which the last one is remembered; what the clock says is only the least."""
    first = number_of(await store.acquire(NAME, "a", MINUTE))
    await store.release(NAME, "a")
    with server.talk() as client:
        client.hset(KEY, "number", first + 3_600_000)
    second = number_of(await store.acquire(NAME, "b", MINUTE))

    assert first + 3_600_001 == second


async def test_a_key_of_another_type_is_reported_and_left_as_it_is(store: RedisStore, server: RedisServer) -> None:
    """A list under our key is somebody's data."""
    with server.talk() as client:
        client.rpush(KEY, "theirs")
        for verb in (store.acquire(NAME, "a", 1), store.renew(NAME, "a", 1), store.release(NAME, "a")):
            with pytest.raises(CorruptRecord):
                await verb
        assert client.lrange(KEY, 0, -1) == ["theirs"]


async def test_a_turn_is_one_write_in_and_one_out(store: RedisStore, server: RedisServer) -> None:
    """Two scripts, and no message while nobody waits."""
    await store.acquire("warm", "a", MINUTE)
    await store.release("warm", "a")
    with server.talk() as client:
        client.config_resetstat()
    await store.acquire(NAME, "a", MINUTE)
    await store.release(NAME, "a")

    assert (2, 0) == (server.calls("evalsha"), server.calls("publish"))


async def test_only_who_is_next_is_called(store: RedisStore, server: RedisServer) -> None:
    """The others would ask in vain."""
    await store.acquire(NAME, "a", MINUTE)
    for waited, owner in enumerate("dcb"):
        await store.acquire(NAME, owner, MINUTE, waited=100 * waited)
    listening = {owner: store.listen(owner) for owner in "bcd"}
    called = {owner: await coming(each) for owner, each in listening.items()}
    with server.talk() as client:
        client.config_resetstat()
    await store.release(NAME, "a")
    await asyncio.wait_for(called["b"], 10)

    assert [False, False] == [called[owner].done() for owner in "cd"]
    assert 1 == server.calls("publish")


async def test_those_who_listen_share_a_connection(store: RedisStore, server: RedisServer) -> None:
    """However many; it is closed with the store."""
    await store.ping()
    for number in range(50):
        await coming(store.listen(str(number)))
    open_ones = server.connections(1)
    with server.talk() as client:
        (_, subscribers), *_ = client.pubsub_numsub("sessionguard:leases")
    await store.aclose()

    assert (1, 1) == (open_ones, subscribers)
    assert 0 == server.connections(0)
    with server.talk() as client:
        assert 0 == client.pubsub_numsub("sessionguard:leases")[0][1]


def test_a_loop_that_ends_closes_its_ear(server: RedisServer) -> None:
    """Nobody has to close the store for that."""
    store = open_store(server.url + PATIENT)

    async def listen() -> None:
        await coming(store.listen("a"))

    for _ in range(3):
        asyncio.run(listen())

    assert [("sessionguard:leases", 0)] == subscribers_when(server, 0)


def subscribers_when(server: RedisServer, expected: int) -> object:
    """The subscribers when they are as many as expected, or will never be."""
    deadline = time.monotonic() + 20
    with server.talk() as client:
        while (found := client.pubsub_numsub("sessionguard:leases")) != [("sessionguard:leases", expected)]:
            if time.monotonic() > deadline:
                break
            time.sleep(0.01)
    return found


async def test_after_a_restart_of_the_server_it_is_heard_again(start: Start) -> None:
    """Whoever listens is told at once that something was missed, and who has the lease has it still."""
    server = start()
    store = open_store(server.url)
    first = await store.acquire(NAME, "a", MINUTE)
    await store.acquire(NAME, "b", MINUTE, waited=0)
    listening = store.listen("b")
    called = await coming(listening)
    server.stop()
    await asyncio.wait_for(called, 10)
    deaf = listening.coming()
    server.start()
    called = await coming(listening)
    with contextlib.suppress(StoreUnavailable):  # Connections that died are noticed when they are used.
        await store.ping()
        await store.acquire(NAME, "b", MINUTE, waited=0)
    held = await store.acquire(NAME, "b", MINUTE, waited=0)
    await store.release(NAME, "a")
    await asyncio.wait_for(called, 10)
    granted = await store.acquire(NAME, "b", MINUTE, waited=0)
    await store.aclose()

    assert deaf is None
    assert (False, first.lease) == (held.granted, held.lease)
    assert number_of(granted) > number_of(first)


async def test_a_server_that_falls_silent_is_not_believed_to_be_heard(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while it is asked, and answers, as long as it is there."""
    monkeypatch.setattr(hearing, "QUIET_SECONDS", 0.1)
    server = start()
    store = open_store(server.url)
    listening = store.listen("a")
    called = await coming(listening)
    await until(lambda: server.calls("ping") >= 2)
    quiet = called.done()
    with server.silent():
        await asyncio.wait_for(called, 10)
        deaf = listening.coming()
    await coming(listening)
    await store.aclose()

    assert (False, None) == (quiet, deaf)


async def test_who_may_neither_publish_nor_subscribe_has_leases_all_the_same(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """They are asked for again and again, and the log says so."""
    with server.talk() as client:
        client.acl_setuser(
            "deaf",
            enabled=True,
            passwords=["+secret"],
            keys=["sessionguard:*"],
            commands=["+@all"],
            reset_channels=True,
        )
    store = open_store(server.url.replace("://", "://deaf:secret@") + PATIENT)
    await store.acquire(NAME, "a", MINUTE)
    await store.acquire(NAME, "b", MINUTE, waited=0)
    listening = store.listen("b")
    await until(lambda: caplog.records)
    released = await store.release(NAME, "a")
    granted = (await store.acquire(NAME, "b", MINUTE, waited=0)).granted
    deaf = listening.coming()
    await store.aclose()
    with server.talk() as client:
        client.acl_deluser("deaf")

    assert (True, True, None) == (released, granted, deaf)
    assert "the session store is not heard (NoPermissionError: " in caplog.text
    assert "secret" not in caplog.text


async def test_rights_on_our_keys_and_channel_are_enough(server: RedisServer) -> None:
    """The commands are those that the README names."""
    named = [each for each in re.findall("`([A-Z ]+)`", README) if len(each.split()) > 2]
    with server.talk() as client:
        commands = [f"+{name.lower()}" for name in " ".join(named).split()]
        rights = {
            "keys": ["sessionguard:*"],
            "channels": ["sessionguard:*"],
            "commands": commands,
            "reset_channels": True,
        }
        client.acl_setuser("worker", enabled=True, passwords=["+secret"], **rights)
    store = open_store(server.url.replace("://", "://worker:secret@") + PATIENT)
    await store.acquire(NAME, "a", MINUTE)
    await store.acquire(NAME, "b", MINUTE, waited=0)
    called = await coming(store.listen("b"))
    await store.renew(NAME, "a", MINUTE)
    await store.release(NAME, "a")
    await asyncio.wait_for(called, 10)
    await store.aclose()
    with server.talk() as client:
        client.acl_deluser("worker")


async def test_a_user_without_the_right_commands_is_told(server: RedisServer) -> None:
    """It is the operator who has to mend it."""
    with server.talk() as client:
        commands = ["+@all", "-hset"]
        client.acl_setuser("lame", enabled=True, passwords=["+secret"], keys=["*"], channels=["*"], commands=commands)
    store = open_store(server.url.replace("://", "://lame:secret@") + PATIENT)
    with pytest.raises((ConfigurationError, StoreUnavailable)):
        await store.acquire(NAME, "a", MINUTE)
    await store.aclose()
    with server.talk() as client:
        client.acl_deluser("lame")


def test_parent_and_child_of_a_fork_have_ears_of_their_own(server: RedisServer) -> None:
    """What is called to one is not swallowed by the other."""
    assert {"child waits", "child is called", "parent is called"} == told_by(FORK, server.url + PATIENT)
