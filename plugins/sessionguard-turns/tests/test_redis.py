"""Turns on a Redis server."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from redis_servers import MISSING, SERVERS, RedisServer
from turns_outages import OutageContract

pytestmark = [pytest.mark.server, pytest.mark.slow]


class TestRedis(OutageContract):
    """Leases as hashes, and a channel that calls who is next."""

    @pytest.fixture(scope="class")
    @classmethod
    def database(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
        if not SERVERS:
            (pytest.fail if os.environ.get("CI") else pytest.skip)(MISSING)
        directory = tmp_path_factory.mktemp("redis")
        with RedisServer(next(iter(SERVERS.values())), directory, "--appendfsync", "always") as server:
            yield server

    @pytest.fixture(scope="class")
    @classmethod
    def store_url(cls, database: RedisServer) -> str:
        return database.url

    @pytest.fixture
    def deaf_url(self, database: RedisServer) -> str:
        with database.talk() as client:
            rights = {"keys": ["*"], "commands": ["+@all", "-subscribe"], "channels": ["*"]}
            client.acl_setuser("deaf", enabled=True, passwords=["+secret"], **rights)
        return database.url.replace("://", "://deaf:secret@")
