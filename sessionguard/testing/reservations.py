"""What `get` and `reserve` must do: the truth table of the compare-and-set, and races that all use the same key."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from sessionguard.records import Reservation, SessionRecord, Touch
from sessionguard.store import AwaitedOffer, SessionStore
from sessionguard.testing.scenario import KEY, OBSERVATIONS, observations, scenario, tick

CONTENDERS = 32


class ReservationContract:
    """A conversation is created once, whoever tries."""

    @scenario
    async def test_an_absent_key_has_no_row(self, store: SessionStore) -> None:
        assert await store.get(KEY) is None

    @scenario
    async def test_a_reserved_row_is_read_back_as_it_was_returned(self, store: SessionStore) -> None:
        reservation = await store.reserve(KEY, "first", None)

        assert await store.get(KEY) == reservation.record

    @scenario
    async def test_the_store_stamps_both_times_of_a_new_row(self, store: SessionStore) -> None:
        before = await store.ping()
        record, now = (reservation := await store.reserve(KEY, "first", None)).record, reservation.now

        assert before <= record.session_started_at == record.updated_at <= now <= await store.ping()

    @scenario
    async def test_what_is_recalled_stands(self, store: SessionStore) -> None:
        recalled = [store.recall(KEY)]
        for session_id in ("first", "second"):
            await store.reserve(KEY, session_id, await store.get(KEY))
            await store.get(KEY)
            recalled.append(store.recall(KEY))
        await store.forget(KEY, "second")
        recalled.append(store.recall(KEY))

        expected = [None, "first", "second", None]
        assert all(row is None or row.session_id == id_ for row, id_ in zip(recalled, expected, strict=True))

    @pytest.mark.parametrize("begins", [False, True], ids=["awaited", "begun"])
    @pytest.mark.parametrize("times", [1, 2], ids=["first", "repeated"])
    @pytest.mark.parametrize("observed", OBSERVATIONS)
    @pytest.mark.parametrize("standing", ["absent", "ours", "theirs"])
    @scenario
    async def test_reserve_follows_its_truth_table(
        self, store: SessionStore, standing: str, observed: str, times: int, begins: bool
    ) -> None:
        if standing != "absent":
            await store.reserve(KEY, standing, None)
        row = await store.get(KEY)
        replacing = observations(row or SessionRecord("theirs", 1, 1))[observed]
        wins = standing in ("absent", "ours") or observed == "the standing row"

        for _ in range(times):
            offer = AwaitedOffer(KEY, "ours", replacing)
            [reservation] = await _reserved(store, [offer], begins=begins)

        assert reservation.created is wins
        assert reservation.record.session_id == ("ours" if wins else "theirs")
        assert await store.get(KEY) == reservation.record

    @scenario
    async def test_reservations_that_begin_together_end_each_for_itself(self, store: SessionStore) -> None:
        theirs = (await store.reserve(KEY, "theirs", None)).record
        offered = [(KEY, "late"), (KEY + "-1", "first"), (KEY + "-1", "second"), (KEY + "-2", "third")]
        late, first, second, third = await _reserved(store, [AwaitedOffer(key, id_, None) for key, id_ in offered])

        assert (late.record, late.created) == (theirs, False)
        assert [first.created, second.created].count(True) == 1
        assert first.record == second.record
        assert (third.record.session_id, third.created) == ("third", True)

    @scenario
    async def test_a_repeated_reservation_keeps_the_row_as_it_is(self, store: SessionStore) -> None:
        first = await store.reserve(KEY, "ours", None)
        await tick(store, first.record)

        assert (await store.reserve(KEY, "ours", None)).record == first.record

    @scenario
    async def test_a_reset_wins_over_a_reservation_that_started_before_it(self, store: SessionStore) -> None:
        stale = (await store.reserve(KEY, "stale", None)).record
        await store.reserve(KEY, "reset", stale)

        late = await store.reserve(KEY, "late", stale)

        assert (late.created, late.record.session_id) == (False, "reset")

    @scenario
    async def test_a_touch_wins_over_a_reservation_that_started_before_it(self, store: SessionStore) -> None:
        stale = (await store.reserve(KEY, "stale", None)).record
        await tick(store, stale)
        await store.touch([Touch(KEY, "stale", 0)])

        late = await store.reserve(KEY, "late", stale)

        assert (late.created, late.record.session_id) == (False, "stale")

    @pytest.mark.parametrize("state", ["new", "stale"])
    @scenario
    async def test_one_of_many_tasks_creates(self, store: SessionStore, state: str) -> None:
        stale = (await store.reserve(KEY, "stale", None)).record if state == "stale" else None

        reservations = await asyncio.gather(
            *(store.reserve(KEY, f"candidate-{number}", stale) for number in range(CONTENDERS))
        )

        assert sum(reservation.created for reservation in reservations) == 1
        assert len({reservation.record.session_id for reservation in reservations}) == 1

    @pytest.mark.parametrize("state", ["new", "stale"])
    def test_one_of_many_threads_creates(self, store: SessionStore, state: str) -> None:
        stale = asyncio.run(store.reserve(KEY, "stale", None)).record if state == "stale" else None
        barrier = threading.Barrier(8)
        reservations: list[Reservation] = []

        def contend(number: int) -> None:
            barrier.wait()
            reservations.append(asyncio.run(store.reserve(KEY, f"candidate-{number}", stale)))

        threads = [threading.Thread(target=contend, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        asyncio.run(store.aclose())

        assert sum(reservation.created for reservation in reservations) == 1
        assert len({reservation.record.session_id for reservation in reservations}) == 1


async def _reserved(store: SessionStore, offers: Sequence[AwaitedOffer], *, begins: bool = True) -> list[Reservation]:
    """Reserve as a guard does: together where the store can, else each alone."""
    if begins and store.begin_reserve(offers):
        return await asyncio.gather(*(offer.future for offer in offers))
    return await asyncio.gather(*(store.reserve(offer.key, offer.candidate_id, offer.replacing) for offer in offers))
