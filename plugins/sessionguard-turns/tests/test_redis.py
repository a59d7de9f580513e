"""Turns on a Redis server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis_servers import MISSING, SERVERS, RedisServer
from turns_outages import OutageContract


class TestRedis(OutageContract):
    """Leases as hashes, and a channel that calls who is next."""

    @pytest.fixture
    def database(self, tmp_path: Path) -> Iterator[RedisServer]:
        if not SERVERS:
            (pytest.fail if os.environ.get("CI") else pytest.skip)(MISSING)
        directory = tmp_path / "redis"
        directory.mkdir()
        with RedisServer(next(iter(SERVERS.values())), directory, "--appendfsync", "always") as server:
            yield server

    @pytest.fixture
    def store_url(self, database: RedisServer) -> str:
        return database.url

    @pytest.fixture
    def deaf_url(self, database: RedisServer) -> str:
        with database.talk() as client:
            rights = {"keys": ["*"], "commands": ["+@all", "-subscribe"], "channels": ["*"]}
            client.acl_setuser("deaf", enabled=True, passwords=["+secret"], **rights)
        return database.url.replace("://", "://deaf:secret@")
