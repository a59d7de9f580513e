"""Redis Cluster: keys are spread over servers, move from one to another, and outlive their server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import combinations

import pytest
from redis.crc import key_slot
from redis_servers import PATIENT, RedisServer, open_store
from sessionguard_redis.store import RedisStore

from sessionguard import SessionGuardError, SessionStore, StoreUnavailable, Touch
from sessionguard.testing import LeaseContract, SessionStoreContract

pytestmark = pytest.mark.server

SLOTS = 16_384
SETTLED_SECONDS = 60.0


class Cluster:
    """Three primaries that share the slots, and a replica of the first."""

    def __init__(self, servers: list[RedisServer]) -> None:
        self.primaries, self.replica = servers[:3], servers[3]

    def form(self) -> None:
        """Introduce everybody to everybody, and wait until they agree."""
        servers = [*self.primaries, self.replica]
        for number, server in enumerate(self.primaries):
            slots = range(number * SLOTS // 3, (number + 1) * SLOTS // 3)
            self.tell(server, "ADDSLOTS", *slots)
        for server, other in combinations(servers, 2):
            self.tell(server, "MEET", "127.0.0.1", other.port)
        names = [self.name(server) for server in servers]
        self.wait(lambda: all(name in self.tell(server, "NODES") for server in servers for name in names))
        self.tell(self.replica, "REPLICATE", self.name(self.primaries[0]))
        self.wait(lambda: all("cluster_state:ok" in self.tell(each, "INFO") for each in servers))
        self.replica.wait_for_link()

    def tell(self, server: RedisServer, *command: str | int) -> str:
        with server.talk() as client:
            client.response_callbacks.clear()
            return str(client.execute_command("CLUSTER", *command))

    def name(self, server: RedisServer) -> str:
        return self.tell(server, "MYID")

    def owner(self, slot: int) -> int:
        """The number of the primary that was given the slot."""
        return next(number for number in range(3) if slot < (number + 1) * SLOTS // 3)

    def be_impatient(self) -> None:
        """Give up a server after a second; before, a busy machine must not be taken for a dead server."""
        for server in [*self.primaries, self.replica]:
            with server.talk() as client:
                client.config_set("cluster-node-timeout", 1000)

    def empty(self) -> None:
        for server in self.primaries:
            with server.talk() as client:
                client.flushall()

    @staticmethod
    def wait(is_so: object) -> None:
        deadline = time.monotonic() + SETTLED_SECONDS
        while not is_so():  # type: ignore[operator]
            assert time.monotonic() < deadline, "the cluster did not settle"
            time.sleep(0.05)


@pytest.fixture(scope="module")
def cluster(binary: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "15000")
    with ExitStack() as stack:
        directories = [tmp_path_factory.mktemp("cluster") for _ in range(4)]
        cluster = Cluster([stack.enter_context(RedisServer(binary, each, *options)) for each in directories])
        cluster.form()
        yield cluster


@pytest.fixture
async def sharded(cluster: Cluster) -> RedisStore:
    cluster.empty()
    return open_store(cluster.primaries[0].url + PATIENT)


class TestCluster(SessionStoreContract):
    """The whole contract, by the URL of one of the servers."""

    @pytest.fixture
    def store(self, cluster: Cluster) -> SessionStore:
        cluster.empty()
        return open_store(cluster.primaries[0].url + PATIENT)


class TestClusterLeases(LeaseContract):
    """Leases as well; what is called out at one server is heard at the others."""

    @pytest.fixture
    def store(self, cluster: Cluster) -> SessionStore:
        cluster.empty()
        return open_store(cluster.primaries[0].url + PATIENT)


async def test_every_server_has_rows_of_its_own_and_nobody_notices(sharded: RedisStore, cluster: Cluster) -> None:
    """Reads, reservations and touches of one tick go to the servers they belong to, in any mixture."""
    keys = [f"key-{number}" for number in range(200)]
    candidates = [(key, candidate) for key in keys for candidate in (key, "too late")]
    reservations = await asyncio.gather(*(sharded.reserve(key, candidate, None) for key, candidate in candidates))
    await sharded.touch([Touch(key, key, 0) for key in keys])
    rows = await asyncio.gather(*(sharded.get(key) for key in keys))
    listed = [key async for key, _ in sharded.scan("key-1")]
    await sharded.aclose()
    sizes = []
    for server in cluster.primaries:
        with server.talk() as client:
            sizes.append(client.dbsize())

    assert sum(each.created for each in reservations) == 200
    assert [row and row.session_id for row in rows] == keys
    assert listed == sorted(key for key in keys if key.startswith("key-1"))
    assert min(sizes) > 0
    assert sum(sizes) == 200


async def test_the_map_of_the_cluster_is_read_once(sharded: RedisStore, cluster: Cluster) -> None:
    """However many keys turn out to be elsewhere, and however many ask at once."""
    for server in cluster.primaries:
        with server.talk() as client:
            client.config_resetstat()
    for _ in range(3):
        await asyncio.gather(*(sharded.get(f"key-{number}") for number in range(300)))
    await sharded.aclose()

    assert sum(server.calls("cluster") + server.calls("cluster|slots") for server in cluster.primaries) == 1


async def test_a_slot_that_is_being_moved_is_used_on_both_sides(sharded: RedisStore, cluster: Cluster) -> None:
    """What is not there yet comes into being at its new server; what is there stays until it has been moved."""
    slot = key_slot(b"sessionguard:{moving}-old")
    source = cluster.primaries[cluster.owner(slot)]
    target = cluster.primaries[(cluster.owner(slot) + 1) % 3]
    before = await sharded.reserve("{moving}-old", "first", None)
    cluster.tell(target, "SETSLOT", slot, "IMPORTING", cluster.name(source))
    cluster.tell(source, "SETSLOT", slot, "MIGRATING", cluster.name(target))
    during = await sharded.reserve("{moving}-new", "first", None)
    again = await sharded.reserve("{moving}-new", "second", None)
    read = await asyncio.gather(*(sharded.get(f"{{moving}}-{which}") for which in ("old", "new")))
    with source.talk() as client:
        client.migrate("127.0.0.1", target.port, "sessionguard:{moving}-old", 0, 5000)
    for server in (target, source, *cluster.primaries):
        cluster.tell(server, "SETSLOT", slot, "NODE", cluster.name(target))
    after = await asyncio.gather(*(sharded.get(f"{{moving}}-{which}") for which in ("old", "new")))
    await sharded.aclose()
    cluster.empty()
    for server in (source, target, *cluster.primaries):
        cluster.tell(server, "SETSLOT", slot, "NODE", cluster.name(source))

    assert (during.created, again.created, again.record) == (True, False, during.record)
    assert read == after == [before.record, during.record]


async def test_a_primary_that_dies_is_replaced_by_its_replica(cluster: Cluster) -> None:
    """The one named in the URL, too: its keys are 503 meanwhile, then the same store goes on. Runs last: it is dead."""
    cluster.empty()
    first = cluster.primaries[0]
    store = open_store(first.url)
    keys = [f"key-{number}" for number in range(60)]
    before = [(await store.reserve(key, key, None)).record for key in keys]
    with first.talk() as client:
        assert client.wait(1, 30_000) == 1
    cluster.be_impatient()
    first.stop()
    deadline = time.monotonic() + SETTLED_SECONDS
    failures = []
    while True:
        after = await asyncio.gather(*(store.get(key) for key in keys), return_exceptions=True)
        failed = [answer for answer in after if isinstance(answer, SessionGuardError)]
        if not failed or time.monotonic() > deadline:
            break
        failures += failed
        await asyncio.sleep(0.1)
    fresh = await asyncio.gather(*(store.reserve(f"{key}-new", key, None) for key in keys))
    await store.aclose()

    assert after == before
    assert all(each.created for each in fresh)
    assert {type(each) for each in failures} == {StoreUnavailable}
