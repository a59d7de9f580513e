"""Real servers for every test. Where there is none, CI fails and others skip."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from clean_environment import clean_environment  # noqa: F401 - a fixture
from isolation import only
from redis_servers import MISSING, PATIENT, SERVERS, RedisServer, Start, open_store
from sessionguard_redis.store import RedisStore

only_redis = only("redis")


@pytest.fixture(scope="session")
def binary() -> str:
    """One server's program, the oldest there is: what works there works on newer ones."""
    if not SERVERS:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(MISSING)
    return next(iter(SERVERS.values()))


@pytest.fixture(scope="session")
def shared_server(binary: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(binary, tmp_path_factory.mktemp("shared")) as server:
        yield server


@pytest.fixture
def server(shared_server: RedisServer) -> RedisServer:
    """A server that tests share; each finds it empty, with no scripts and no statistics."""
    with shared_server.talk() as client:
        client.flushall()
        client.script_flush()
        client.config_resetstat()
    return shared_server


@pytest.fixture
def start(binary: str, tmp_path: Path) -> Iterator[Start]:
    """Start a server of one's own, with options; it ends with the test."""
    with ExitStack() as stack:
        numbers = iter(range(100))

        def start(*options: str, program: str = binary) -> RedisServer:
            directory = tmp_path / f"server-{next(numbers)}"
            directory.mkdir()
            return stack.enter_context(RedisServer(program, directory, *options))

        yield start


@pytest.fixture
async def store(server: RedisServer) -> AsyncIterator[RedisStore]:
    store = open_store(server.url + PATIENT)
    yield store
    await store.aclose()
