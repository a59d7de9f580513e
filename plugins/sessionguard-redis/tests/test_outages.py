"""Servers that die, fall silent, come back, are replaced or are full: 503 in time, no second id, no restart of ours."""

from __future__ import annotations

import asyncio

import pytest
from redis_servers import RedisServer, Start, open_store

from sessionguard import SessionGuard, StoreUnavailable
from sessionguard.testing import AppProbe, Exchange, FaultyWire, WireFault

pytestmark = pytest.mark.server


async def ask(guard: SessionGuard, key: bytes = b"key") -> tuple[int, str]:
    """Status and id; it must come while the server is as it is."""
    exchange = await Exchange(guard, [(b"x-openclaw-session-key", key)]).run()
    return exchange.status, exchange.headers.get("x-openclaw-session-id", "")


def guard_on(server: RedisServer, options: str = "") -> SessionGuard:
    return SessionGuard(AppProbe(), store=server.url + options, expose_session_id=True)


async def leave(guard: SessionGuard) -> None:
    await Exchange(guard, type="lifespan").run()


async def test_an_id_survives_kill_9_of_a_server_that_logs_its_writes(start: Start) -> None:
    """While it is away requests are answered 503; when it is back the same guard goes on."""
    server = start()
    guard = guard_on(server)
    before = await ask(guard)
    server.stop()
    away = [await ask(guard), await ask(guard, b"another")]
    server.start()
    after = await ask(guard)
    await leave(guard)

    assert [status for status, _ in (before, *away, after)] == [200, 503, 503, 200]
    assert before[1] == after[1]


async def test_a_restart_between_two_requests_goes_unnoticed(start: Start) -> None:
    """Connections that died meanwhile cost a read nothing but a second try, and a reservation another attempt."""
    server = start()
    guard = guard_on(server)
    await ask(guard)
    server.stop()
    server.start()
    answers = await asyncio.gather(*(ask(guard, b"key-%d" % number) for number in range(20)))
    await leave(guard)

    assert {status for status, _ in answers} == {200}


async def test_without_a_log_a_restart_loses_conversations(start: Start) -> None:
    """That is why the guard warns when it starts."""
    server = start("--appendonly", "no")
    guard = guard_on(server)
    before = await ask(guard)
    server.stop()
    server.start()
    after = await ask(guard)
    await leave(guard)

    assert (before[0], after[0]) == (200, 200)
    assert before[1] != after[1]


async def test_a_server_that_falls_silent_is_503_in_time(start: Start) -> None:
    """Its connections stay open and nothing comes; when it speaks again, so do we, and nobody gets a second id."""
    server = start()
    guard = guard_on(server)
    before = await ask(guard)
    with server.silent():
        silent = await asyncio.gather(ask(guard), ask(guard, b"new"), ask(guard, b"new"))
    after = [await ask(guard), await ask(guard, b"new"), await ask(guard, b"new")]
    await leave(guard)

    assert [status for status, _ in silent] == [503] * 3
    assert [status for status, _ in after] == [200] * 3
    assert after[0][1] == before[1]
    assert after[1][1] == after[2][1]


async def test_a_write_whose_outcome_is_unknown_is_not_sent_again(server: RedisServer) -> None:
    """Only the guard may do that, since it knows with which id."""
    with FaultyWire("127.0.0.1", server.port) as wire:
        store = open_store(f"redis://{wire.host}:{wire.port}?timeout=2")
        await store.reserve("another", "id", None)
        with server.talk() as client:
            client.config_resetstat()
        for what in ("drop", "half-close", "reset"):
            wire.fail(WireFault(what, "reply"))
            with pytest.raises(StoreUnavailable):
                await store.reserve(what, "id", None)
            await store.ping()
        await store.aclose()

    assert server.calls("evalsha") == 3


async def test_an_outage_is_logged_once_and_not_for_every_request(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    """With its reason, which the client is not told; the next outage is news again."""
    server = start()
    store = open_store(server.url)
    for _ in range(2):
        await store.ping()
        server.stop()
        for _ in range(5):
            with pytest.raises(StoreUnavailable) as told:
                await store.get("key")
            assert str(server.port) not in str(told.value)
        server.start()
    await store.aclose()

    assert [record.levelname for record in caplog.records].count("ERROR") == 2
    assert str(server.port) in caplog.text


async def test_a_failover_loses_what_had_not_reached_the_replica(start: Start) -> None:
    """Replication is asynchronous: what was acknowledged on the primary alone is gone. What had arrived is kept."""
    primary = start("--repl-ping-replica-period", "1")
    with FaultyWire("127.0.0.1", primary.port) as wire:
        replica = start("--replicaof", wire.host, str(wire.port))
        replica.wait_for_link()
        old = open_store(primary.url)
        await old.reserve("replicated", "first", None)
        with primary.talk() as client:
            assert client.wait(1, 5000) == 1
        wire.fail(WireFault("drop", "reply", lasting=True))
        while not wire.count("request"):  # Once the replica has reported, whatever the primary sends is lost.
            await asyncio.sleep(0.01)
        await old.reserve("lost", "first", None)
        await old.aclose()
        primary.stop()
        with replica.talk() as client:
            client.replicaof("NO", "ONE")
    new = open_store(replica.url)
    kept = await new.reserve("replicated", "second", None)
    lost = await new.reserve("lost", "second", None)
    await new.aclose()

    assert (kept.created, kept.record.session_id) == (False, "first")
    assert (lost.created, lost.record.session_id) == (True, "second")


async def test_a_server_without_a_free_connection_is_503_until_it_has_one(start: Start) -> None:
    """It accepts, says so, and hangs up."""
    server = start("--maxclients", "1")
    guard = guard_on(server)
    with server.talk() as client:
        client.ping()
        refused = await ask(guard)
    served = await ask(guard)
    await leave(guard)

    assert (refused[0], served[0]) == (503, 200)
