"""What a store must do that can be left for another: refuse everything from one step on, and lose nothing before it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from sessionguard.errors import StoreRetired
from sessionguard.records import Retirement, Touch
from sessionguard.store import RetirableStore
from sessionguard.testing.scenario import KEY, scenario

THERE = "elsewhere://host/0"

VERBS: dict[str, Callable[[RetirableStore], Awaitable[object]]] = {
    "get": lambda store: store.get(KEY),
    "get of an absent key": lambda store: store.get(KEY + "x"),
    "reserve": lambda store: store.reserve(KEY, "first", None),
    "reserve of a new key": lambda store: store.reserve(KEY + "x", "first", None),
    "touch": lambda store: store.touch([Touch(KEY, "first", 0)]),
    "forget": lambda store: store.forget(KEY, "first"),
    "ping": lambda store: store.ping(),
}


class RetirementContract:
    """A store that was left hands out nothing. Override `store` with a fresh, empty store that can be retired."""

    @scenario
    async def test_a_store_is_not_retired_until_it_is(self, store: RetirableStore) -> None:
        assert await store.retirement() is None

    @pytest.mark.parametrize("verb", VERBS)
    @scenario
    async def test_a_retired_store_names_the_new_one_and_does_nothing(self, store: RetirableStore, verb: str) -> None:
        record = (await store.reserve(KEY, "first", None)).record
        await store.retire(THERE)

        with pytest.raises(StoreRetired, match=THERE):
            await VERBS[verb](store)
        assert [pair async for pair in store.scan()] == [(KEY, record)]

    @scenario
    async def test_nothing_is_recalled_of_a_retired_store(self, store: RetirableStore) -> None:
        await store.reserve(KEY, "first", None)
        await store.get(KEY)
        await store.retire(THERE)
        recalled = [store.recall(KEY)]
        with pytest.raises(StoreRetired):
            await store.get(KEY)
        recalled.append(store.recall(KEY))

        assert recalled == [None, None]

    @scenario
    async def test_the_mark_outlives_the_store_object(self, store: RetirableStore) -> None:
        await store.reserve(KEY, "first", None)
        await store.retire(THERE)
        await store.aclose()

        assert await store.retirement() == Retirement(THERE)
        with pytest.raises(StoreRetired):
            await store.get(KEY)

    @scenario
    async def test_a_move_that_is_finished_stays_finished(self, store: RetirableStore) -> None:
        await store.retire(THERE)
        await store.retire(THERE, finished=True)
        await store.retire(THERE)

        assert await store.retirement() == Retirement(THERE, finished=True)
        with pytest.raises(StoreRetired, match="have moved"):
            await store.get(KEY)

    @scenario
    async def test_a_store_is_left_for_one_place_only(self, store: RetirableStore) -> None:
        await store.retire(THERE)

        with pytest.raises(StoreRetired, match=THERE):
            await store.retire("third://host/0", finished=True)
        assert await store.retirement() == Retirement(THERE)

    @scenario
    async def test_a_revived_store_serves_what_it_had(self, store: RetirableStore) -> None:
        record = (await store.reserve(KEY, "first", None)).record
        await store.revive()
        await store.retire(THERE)
        await store.revive()

        assert await store.retirement() is None
        assert await store.get(KEY) == record
        assert (await store.reserve(KEY + "x", "second", None)).created is True

    @scenario
    async def test_what_was_acknowledged_before_the_retirement_is_scanned_after_it(self, store: RetirableStore) -> None:
        async def reserve(number: int) -> str | None:
            try:
                return (await store.reserve(f"{KEY}-{number}", "id", None)).record.session_id and f"{KEY}-{number}"
            except StoreRetired:
                return None

        early = [asyncio.ensure_future(reserve(number)) for number in range(50)]
        await asyncio.wait(early, return_when=asyncio.FIRST_COMPLETED)
        late = [asyncio.ensure_future(reserve(number)) for number in range(50, 100)]
        await store.retire(THERE)
        keys = {key async for key, _ in store.scan()}
        acknowledged = {key for key in await asyncio.gather(*early, *late) if key is not None}

        assert acknowledged == keys
        assert acknowledged
