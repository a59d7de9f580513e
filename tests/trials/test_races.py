"""Real processes race for the same conversations on the embedded stores, with faults and with `kill -9`."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from sessionguard import SessionStore
from sessionguard.stores.disk.store import DiskStore
from sessionguard.stores.memory import MemoryStore
from sessionguard.stores.sqlite import SqliteStore
from sessionguard.testing import FailureContract, RaceContract


class EmbeddedRaces(RaceContract):
    """The races, and a look into the database afterwards."""

    file_name: str
    scheme: str

    @pytest.fixture
    def store_url(self, tmp_path_factory: pytest.TempPathFactory) -> str:
        self.path = tmp_path_factory.mktemp("store") / "sessions" / self.file_name
        return f"{self.scheme}://{self.path.parent}"

    def check_integrity(self, store_url: str) -> None:
        with contextlib.closing(sqlite3.connect(self.path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


class TestDiskRaces(EmbeddedRaces):
    file_name, scheme = DiskStore.file_name, "disk"


class TestSqliteRaces(EmbeddedRaces):
    file_name, scheme = SqliteStore.file_name, "sqlite"


class TestMemoryFailures(FailureContract):
    @pytest.fixture
    def store(self) -> SessionStore:
        return MemoryStore()


class TestDiskFailures(FailureContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> SessionStore:
        return DiskStore(tmp_path / "sessions")


class TestSqliteFailures(FailureContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> SessionStore:
        return SqliteStore(tmp_path / "sessions")
