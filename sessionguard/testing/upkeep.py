"""What `touch`, `forget` and `scan` must do: keep rows alive, remove them, list them, and harm no others."""

from __future__ import annotations

import dataclasses

import pytest

from sessionguard.records import Touch
from sessionguard.store import SessionStore
from sessionguard.testing.scenario import KEY, reserve_all, scenario, tick


class UpkeepContract:
    """Upkeep changes nothing but what it was told to."""

    @scenario
    async def test_a_touch_moves_updated_at_and_nothing_else(self, store: SessionStore) -> None:
        record = (await store.reserve(KEY, "first", None)).record
        await tick(store, record)
        await store.touch([Touch(KEY, "first", 0)])

        touched = await store.get(KEY)

        assert touched is not None
        assert touched.updated_at > record.updated_at
        assert dataclasses.replace(touched, updated_at=record.updated_at) == record

    @pytest.mark.parametrize(
        "touch",
        [Touch(KEY, "first", 3_600_000), Touch(KEY, "another", 0), Touch(KEY + "x", "first", 0)],
        ids=["never backwards", "never another session", "never an absent row"],
    )
    @scenario
    async def test_a_touch_is_conditional(self, store: SessionStore, touch: Touch) -> None:
        record = (await store.reserve(KEY, "first", None)).record
        await tick(store, record)
        await store.touch([touch])

        assert [pair async for pair in store.scan()] == [(KEY, record)]

    @scenario
    async def test_a_batch_of_touches_reaches_every_row(self, store: SessionStore) -> None:
        keys = [f"{KEY}-{number}" for number in range(50)]
        records = [(await store.reserve(key, key[-2:], None)).record for key in keys]
        await tick(store, records[-1])
        await store.touch([Touch(key, key[-2:], 0) for key in keys])

        moved = [(await store.get(key), record) for key, record in zip(keys, records, strict=True)]

        assert all(touched is not None and touched.updated_at > record.updated_at for touched, record in moved)

    @scenario
    async def test_no_touches_are_no_work(self, store: SessionStore) -> None:
        await store.touch([])

        assert [pair async for pair in store.scan()] == []

    @pytest.mark.parametrize(
        ("session_id", "offset", "removed"),
        [("first", None, True), ("another", None, False), ("first", 1, True), ("first", 0, False)],
        ids=["the id is enough", "another id stays", "used before the limit goes", "used at the limit stays"],
    )
    @scenario
    async def test_forget_removes_only_what_it_was_told(
        self, store: SessionStore, session_id: str, offset: int | None, removed: bool
    ) -> None:
        record = (await store.reserve(KEY, "first", None)).record
        idle_before = None if offset is None else record.updated_at + offset

        assert await store.forget(KEY, session_id, idle_before) is removed
        assert (await store.get(KEY) is None) is removed

    @scenario
    async def test_forgetting_an_absent_row_removes_nothing(self, store: SessionStore) -> None:
        assert await store.forget(KEY, "first") is False

    @scenario
    async def test_scan_yields_every_row_in_key_order(self, store: SessionStore) -> None:
        keys = [f"scan/{number:04}" for number in range(601)]
        await reserve_all(store, keys[::-1])

        assert [key async for key, _ in store.scan()] == keys

    @pytest.mark.parametrize("prefix", ["a%", "a_", "a*", "a[b]", "a'"])
    @scenario
    async def test_a_prefix_is_taken_literally(self, store: SessionStore, prefix: str) -> None:
        for key in ("a", "abc", "a[", prefix, prefix + "x", "b" + prefix):
            await store.reserve(key, "id", None)

        assert [key async for key, _ in store.scan(prefix)] == [prefix, prefix + "x"]

    @scenario
    async def test_rows_may_change_between_the_pages_of_a_scan(self, store: SessionStore) -> None:
        await reserve_all(store, [f"scan/{number:04}" for number in range(600)])

        seen = [(key, await store.forget(key, "id")) async for key, _ in store.scan("scan/")]

        assert len(seen) == 600
        assert all(removed for _, removed in seen)
