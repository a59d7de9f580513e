"""What `adopt` must do, for stores that conversations can be moved to: the compare-and-set, with times left alone."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from sessionguard.records import SessionRecord, Touch
from sessionguard.store import AdoptingStore
from sessionguard.testing.scenario import KEY, OBSERVATIONS, observations, scenario, tick

CONTENDERS = 32
LONG_AGO = SessionRecord("ours", 1_000_000_000_000, 1_000_000_060_000)
"""A row as another store has had it for years."""


class AdoptionContract:
    """A conversation that moves in is the one it was. Override `store` with a fresh, empty store that adopts."""

    @scenario
    async def test_an_adopted_row_keeps_its_id_and_its_times(self, store: AdoptingStore) -> None:
        assert await store.adopt(KEY, LONG_AGO, None) == LONG_AGO
        assert await store.get(KEY) == LONG_AGO

    @scenario
    async def test_an_adopted_conversation_goes_on_like_any_other(self, store: AdoptingStore) -> None:
        await store.adopt(KEY, LONG_AGO, None)
        joined = await store.reserve(KEY, "another", None)
        await store.touch([Touch(KEY, "ours", 0)])
        used = await store.get(KEY)

        assert (joined.created, joined.record) == (False, LONG_AGO)
        assert used == dataclasses.replace(LONG_AGO, updated_at=used.updated_at if used else 0)
        assert used.updated_at > LONG_AGO.updated_at
        assert (await store.reserve(KEY, "another", used)).created is True

    @pytest.mark.parametrize("times", [1, 2], ids=["first", "repeated"])
    @pytest.mark.parametrize("observed", OBSERVATIONS)
    @pytest.mark.parametrize("standing", ["absent", "ours", "theirs"])
    @scenario
    async def test_adopt_follows_its_truth_table(
        self, store: AdoptingStore, standing: str, observed: str, times: int
    ) -> None:
        if standing != "absent":
            await store.reserve(KEY, standing, None)
        row = await store.get(KEY)
        replacing = observations(row or SessionRecord("theirs", 1, 1))[observed]
        stands = LONG_AGO if row is None or (standing == "theirs" and observed == "the standing row") else row

        adopted = [await store.adopt(KEY, LONG_AGO, replacing) for _ in range(times)]

        assert adopted == [stands] * times
        assert await store.get(KEY) == stands

    @pytest.mark.parametrize(
        ("offset", "moved"), [(1, True), (0, False), (-1, False)], ids=["later", "same", "earlier"]
    )
    @scenario
    async def test_a_row_with_the_same_id_takes_the_later_use_and_nothing_else(
        self, store: AdoptingStore, offset: int, moved: bool
    ) -> None:
        record = (await store.reserve(KEY, "ours", None)).record
        offered = SessionRecord("ours", 1, record.updated_at + offset)

        adopted = await store.adopt(KEY, offered, record)

        assert adopted == dataclasses.replace(record, updated_at=record.updated_at + (offset if moved else 0))
        assert await store.get(KEY) == adopted

    @scenario
    async def test_a_touch_wins_over_an_adoption_that_saw_the_row_before_it(self, store: AdoptingStore) -> None:
        seen = (await store.reserve(KEY, "theirs", None)).record
        await tick(store, seen)
        await store.touch([Touch(KEY, "theirs", 0)])

        assert (await store.adopt(KEY, LONG_AGO, seen)).session_id == "theirs"

    @scenario
    async def test_what_is_recalled_after_an_adoption_stands(self, store: AdoptingStore) -> None:
        seen = (await store.reserve(KEY, "theirs", None)).record
        await store.get(KEY)
        await store.adopt(KEY, LONG_AGO, seen)

        assert store.recall(KEY) in (None, LONG_AGO)

    @pytest.mark.parametrize("state", ["new", "seen"])
    @scenario
    async def test_one_of_many_adoptions_and_reservations_wins(self, store: AdoptingStore, state: str) -> None:
        seen = (await store.reserve(KEY, "seen", None)).record if state == "seen" else None
        rows = [SessionRecord(f"adopted-{number}", number, number) for number in range(CONTENDERS // 2)]

        adopted, reserved = await asyncio.gather(
            asyncio.gather(*(store.adopt(KEY, row, seen) for row in rows)),
            asyncio.gather(*(store.reserve(KEY, f"reserved-{row.updated_at}", seen) for row in rows)),
        )

        (winner,) = {row.session_id for row in adopted} | {each.record.session_id for each in reserved}
        assert sum(each.created for each in reserved) == winner.startswith("reserved")
