"""The built-in stores keep the contract that everybody's stores keep."""

from __future__ import annotations

from pathlib import Path

import pytest

from sessionguard import SessionStore
from sessionguard.stores.disk.store import DiskStore
from sessionguard.stores.memory import MemoryStore
from sessionguard.testing import SessionStoreContract


class TestMemoryStore(SessionStoreContract):
    @pytest.fixture
    def store(self) -> SessionStore:
        return MemoryStore()


class TestDiskStore(SessionStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> SessionStore:
        return DiskStore(tmp_path / "sessions")
