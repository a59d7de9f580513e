"""The built-in stores keep the contract that everybody's stores keep."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from sessionguard import ConfigurationError, GuardSettings, SessionStore, StoreUnavailable
from sessionguard.stores.disk.store import DiskStore
from sessionguard.stores.embedded.store import EmbeddedStore
from sessionguard.stores.memory import MemoryStore
from sessionguard.stores.sqlite import SqliteStore
from sessionguard.testing import SessionStoreContract


class TestMemoryStore(SessionStoreContract):
    @pytest.fixture
    def store(self) -> SessionStore:
        return MemoryStore()


class TestDiskStore(SessionStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> SessionStore:
        return DiskStore(tmp_path / "sessions")


class TestSqliteStore(SessionStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> SessionStore:
        return SqliteStore(tmp_path / "sessions")


STORES = {
    "memory": lambda path, **options: MemoryStore(**options),
    "disk": DiskStore,
    "sqlite": SqliteStore,
}


@pytest.mark.parametrize("kind", STORES)
async def test_rows_beyond_their_retention_are_removed_and_no_others(kind: str, tmp_path: Path) -> None:
    """The sweep looks at a few rows with every new one and forgets only what has been idle too long."""
    now = 1_000_000_000_000
    options: dict[str, Any] = {"retention": 7_200_000, "clock": lambda: now}
    store = STORES[kind](tmp_path / "sessions", **options)
    for number in range(60):
        await store.reserve(f"old-{number:03}", "id", None)
    now += 7_200_000
    await store.reserve("young", "id", None)
    now += 1
    for number in range(5):
        await store.reserve(f"new-{number}", "id", None)
    left = [key async for key, _ in store.scan()]
    await store.aclose()

    assert left == ["new-0", "new-1", "new-2", "new-3", "new-4", "young"]


async def test_without_a_retention_nothing_is_ever_removed(tmp_path: Path) -> None:
    """However long nobody has used it."""
    now = 0
    store = DiskStore(tmp_path / "sessions", clock=lambda: now)
    await store.reserve("old", "id", None)
    now += 10 * 366 * 86_400_000
    await store.reserve("new", "id", None)
    left = [key async for key, _ in store.scan()]
    await store.aclose()

    assert left == ["new", "old"]


@pytest.mark.parametrize("url", ["memory:x", "memory:?a=b", "memory://host"])
def test_a_memory_store_has_no_place_and_no_options(url: str) -> None:
    """A typing error in a URL is not a different store."""
    with pytest.raises(ConfigurationError, match="write memory:"):
        MemoryStore.from_url(url, GuardSettings())


@pytest.mark.parametrize("url", ["memory:", "memory://"])
async def test_a_memory_store_takes_its_retention_from_the_settings(url: str) -> None:
    """In seconds there, in milliseconds here."""
    store = MemoryStore.from_url(url, GuardSettings(retention=7200))

    assert store._retention == 7_200_000
    assert SessionStore.warnings(store) == ()


@pytest.mark.parametrize("kind", [DiskStore, SqliteStore])
async def test_a_full_store_refuses_new_conversations_and_keeps_the_others(
    kind: type[EmbeddedStore], tmp_path: Path
) -> None:
    """SQLite's own error, made with its limit of pages; when there is room again everything works."""
    store = kind(tmp_path / "sessions")
    record = (await store.reserve("established", "id", None)).record

    def fill(database: Any) -> None:
        connection = getattr(database, "_connection", None) or database._cache._con
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")

    await store._run(fill, writes=False)
    established = await store.get("established")
    with pytest.raises(StoreUnavailable):
        await asyncio.gather(*(store.reserve("k" * 200 + str(number), "id", None) for number in range(200)))
    again = await store.reserve("k" * 200 + "0", "id", None)
    still = await store.get("established")
    await store.aclose()

    assert established == still == record
    assert again.created
