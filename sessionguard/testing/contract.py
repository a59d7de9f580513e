"""The contract of a `SessionStore` as a test class. Subclass it and override the fixture `store`; that is all.

Every race uses the same key and asserts an exact count of `created`: a store that gives each contender a key of its
own has proven nothing. No plugin for asynchronous tests is needed.
"""

from __future__ import annotations

import asyncio

import pytest

from sessionguard.records import SessionRecord
from sessionguard.store import REACH, SessionStore
from sessionguard.testing.reservations import ReservationContract
from sessionguard.testing.scenario import KEY, scenario
from sessionguard.testing.upkeep import UpkeepContract

HOSTILE_KEYS = (
    "'; DROP TABLE Cache; --",
    '"quoted"',
    "100%_literal*[a-z]?",
    "../../etc/passwd",
    "line\nbreak\ttab",
    "nul\x00byte",
    "ключ-鍵-🔑",
    "k" * 4096,
)


class SessionStoreContract(ReservationContract, UpkeepContract):
    """Subclass this as `Test...` and override `store` with a fixture that returns a fresh, empty store."""

    @pytest.fixture
    def store(self) -> SessionStore:
        """MUST be overridden: an empty store; the suite opens it by using it and closes it."""
        raise NotImplementedError("override the fixture 'store'")

    @scenario
    async def test_says_where_it_is_and_how_far_it_reaches(self, store: SessionStore) -> None:
        assert store.location
        assert store.coordination in REACH
        assert all(isinstance(warning, str) for warning in store.warnings())

    @pytest.mark.parametrize("key", HOSTILE_KEYS, ids=range(len(HOSTILE_KEYS)))
    @scenario
    async def test_a_key_is_only_text(self, store: SessionStore, key: str) -> None:
        record = (await store.reserve(key, "first", None)).record
        await store.reserve(key + "x", "second", None)

        assert await store.get(key) == record
        assert await store.forget(key, "first") is True
        assert [found async for found, _ in store.scan()] == [key + "x"]

    @scenario
    async def test_a_store_that_was_closed_opens_again(self, store: SessionStore) -> None:
        await store.ping()
        await store.aclose()
        await store.aclose()

        assert (await store.reserve(KEY, "first", None)).created is True

    def test_one_store_serves_several_event_loops(self, store: SessionStore) -> None:
        first = asyncio.run(store.reserve(KEY, "first", None))

        async def second() -> SessionRecord | None:
            try:
                return await store.get(KEY)
            finally:
                await store.aclose()

        assert asyncio.run(second()) == first.record
