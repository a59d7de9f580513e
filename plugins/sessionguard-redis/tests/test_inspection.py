"""What a server may be like: the ones that cannot keep the promise are refused, others are reported."""

from __future__ import annotations

import asyncio
import re
import time

import pytest
from redis_servers import PATIENT, Start, open_store
from sessionguard_redis import inspection
from sessionguard_redis.store import RedisStore

from sessionguard import ConfigurationError, SessionGuardError

pytestmark = pytest.mark.server

DAY = 86_400.0


async def outcome(store: RedisStore) -> str:
    """`fine`, or what the first verb was answered with."""
    try:
        await store.ping()
        return "fine"
    except SessionGuardError as error:
        return f"{type(error).__name__}: {error}"
    finally:
        await store.aclose()


@pytest.mark.parametrize(
    ("policy", "retention", "option", "expected"),
    [
        ("noeviction", None, "", "fine"),
        ("noeviction", DAY, "", "fine"),
        ("volatile-lru", None, "", "fine"),
        ("volatile-lru", DAY, "", "ConfigurationError.*volatile-lru.*all that have a retention.*noeviction"),
        ("volatile-ttl", DAY, "", "ConfigurationError.*volatile-ttl"),
        ("allkeys-lru", None, "", "ConfigurationError.*allkeys-lru.*eviction=allow"),
        ("allkeys-random", DAY, "", "ConfigurationError.*allkeys-random"),
        ("allkeys-lru", None, "?eviction=allow", "fine"),
        ("volatile-lru", DAY, "?eviction=allow", "fine"),
    ],
)
async def test_a_server_that_evicts_is_refused_unless_the_url_allows_it(
    start: Start, policy: str, retention: float | None, option: str, expected: str
) -> None:
    """`volatile-*` takes what has an expiry; our rows have one only with a retention."""
    server = start("--maxmemory-policy", policy)
    store = open_store(server.url + (f"{option}&" if option else "?") + "timeout=60", retention=retention)
    assert re.match(expected, await outcome(store))
    assert [warning for warning in store.warnings() if "evicted" in warning] == (
        [f"conversations can be evicted: maxmemory-policy is {policy}"] if option else []
    )


async def test_a_policy_that_changes_under_a_running_guard_is_noticed(start: Start) -> None:
    """Within a second or so of use."""
    server = start()
    store = open_store(server.url + PATIENT)
    await store.ping()
    with server.talk() as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
    with pytest.raises(ConfigurationError, match="allkeys-lru"):
        await use_until_refused(store)
    await store.aclose()


async def use_until_refused(store: RedisStore) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        await store.get("key")
        await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("options", "warned"),
    [
        (["--appendonly", "yes"], []),
        (["--appendonly", "no"], ["appendonly is off"]),
        (["--appendonly", "no", "--save", "60 1"], ["appendonly is off"]),
    ],
)
async def test_a_server_that_does_not_log_its_writes_is_reported(
    start: Start, options: list[str], warned: list[str]
) -> None:
    """Snapshots alone lose what came after the last one."""
    store = open_store(start(*options).url + PATIENT)

    assert await outcome(store) == "fine"
    assert [warning.partition(":")[0] for warning in store.warnings()] == warned


@pytest.mark.parametrize(("needed", "told"), [("0", "is not set, and should be at least 1"), ("1", "is set")])
async def test_replicas_and_how_many_a_write_needs_are_reported(start: Start, needed: str, told: str) -> None:
    """With replicas there will be a failover one day."""
    primary = start("--min-replicas-to-write", needed)
    replica = start("--replicaof", "127.0.0.1", str(primary.port))
    replica.wait_for_link()
    store = open_store(primary.url + PATIENT)

    assert await outcome(store) == "fine"
    [warning] = store.warnings()
    assert f"1 connected replicas, min-replicas-to-write {told}" in warning


@pytest.mark.parametrize(("version", "told"), [("6.2.5", True), ("6.2.7", False), ("7.0.0-rc1", False)])
def test_a_server_that_lets_scripts_pass_without_replicas_is_reported(version: str, told: bool) -> None:
    """The setting has no meaning for us there."""
    info = inspection.parse(f"redis_version:{version}\r\nconnected_slaves:2\r\nmin_slaves_good_slaves:2\r\n".encode())
    [warning] = inspection.warnings(info, expires=False)

    assert ("before 6.2.7 does not apply it to scripts" in warning) is told


async def test_a_replica_is_refused(start: Start) -> None:
    """It may be behind, so not even a read is answered from it; the connection is given up."""
    primary = start()
    replica = start("--replicaof", "127.0.0.1", str(primary.port))

    store = open_store(replica.url + PATIENT)
    with pytest.raises(ConfigurationError, match="this server is a replica"):
        await store.get("key")
    left = replica.connections(0)
    await store.aclose()

    assert left == 0


async def test_a_primary_that_becomes_a_replica_is_noticed(start: Start) -> None:
    """Reads on connections made before do not go on for long."""
    server, primary = start(), start()
    store = open_store(server.url + PATIENT)
    await store.reserve("key", "id", None)
    with server.talk() as client:
        client.replicaof("127.0.0.1", primary.port)
    with pytest.raises(SessionGuardError):
        await store.reserve("another", "id", None)
    with pytest.raises(ConfigurationError, match="replica"):
        await use_until_refused(store)
    await store.aclose()


async def test_a_service_that_forbids_config_is_served(start: Start) -> None:
    """INFO is all that is asked."""
    store = open_store(start("--rename-command", "CONFIG", "").url + PATIENT)

    assert await outcome(store) == "fine"


@pytest.mark.parametrize(
    ("version", "served"), [("6.0.16", False), ("5.0", False), ("6.2.0", True), ("7.2.4", True), ("10.0.1", True)]
)
def test_a_server_that_is_too_old_is_refused(version: str, served: bool) -> None:
    """Valkey calls itself Redis 7.2 here, whatever its own version."""
    info = inspection.parse(f"# Server\r\nredis_version:{version}\r\nrole:master\r\n".encode())
    try:
        inspection.check(info, expires=False, may_evict=False)
    except ConfigurationError as error:
        assert version in str(error)
        assert not served
    else:
        assert served
