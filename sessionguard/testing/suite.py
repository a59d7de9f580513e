"""What `pytest --sessionguard-store=URL` runs: everything that is asked of a store, of the one at that URL."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from sessionguard.leases import LeaseSupport
from sessionguard.store import AdoptingStore, SessionStore
from sessionguard.testing.adoption import AdoptionContract
from sessionguard.testing.contract import SessionStoreContract
from sessionguard.testing.failures import FailureContract
from sessionguard.testing.leases import LeaseContract
from sessionguard.testing.opening import open_store
from sessionguard.testing.races import RaceContract


@pytest.fixture(scope="session")
def _empty_store_url(pytestconfig: pytest.Config) -> Iterator[str]:
    """The URL that was given; nobody's conversations are there, and none are left behind."""
    url: str = pytestconfig.getoption("sessionguard_store")
    if asyncio.run(_any_row(url)):
        pytest.exit(f"--sessionguard-store: {url} holds conversations; name an empty place, the suite removes all rows")
    yield url
    asyncio.run(_remove_all(url))


async def _any_row(url: str) -> bool:
    store = open_store(url)
    try:
        return [key async for key, _ in store.scan()] != []
    finally:
        await store.aclose()


async def _remove_all(url: str) -> None:
    store = open_store(url)
    async for key, record in store.scan():
        await store.forget(key, record.session_id)
    await store.aclose()


class StoreAtUrl:
    """The fixtures of every class here."""

    @pytest.fixture
    def store_url(self, _empty_store_url: str) -> str:
        asyncio.run(_remove_all(_empty_store_url))
        return _empty_store_url

    @pytest.fixture
    def store(self, store_url: str) -> SessionStore:
        return open_store(store_url)


class TestStore(StoreAtUrl, SessionStoreContract):
    """One call after the other, and many at once in one process."""


class TestAdoption(StoreAtUrl, AdoptionContract):
    """Rows that move in from another store."""

    @pytest.fixture
    def store(self, store_url: str) -> SessionStore:
        store = open_store(store_url)
        if not isinstance(store, AdoptingStore):
            pytest.skip("conversations cannot be moved to this store")
        return store


class TestLeases(StoreAtUrl, LeaseContract):
    """One owner at a time."""

    @pytest.fixture
    def store(self, store_url: str) -> SessionStore:
        store = open_store(store_url)
        if not isinstance(store, LeaseSupport):
            pytest.skip("this store has no leases")
        return store


class TestFailures(StoreAtUrl, FailureContract):
    """Calls that fail."""


class TestRaces(StoreAtUrl, RaceContract):
    """Many processes at once."""
