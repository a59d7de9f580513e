"""What leases must be, for stores that have them: one owner at a time, in the order of arrival, gone by themselves."""

from __future__ import annotations

import asyncio

from sessionguard.testing.queueing import MINUTE, LeaseQueueContract, number_of, until
from sessionguard.testing.scenario import KEY, LeasingStore, scenario

CONTENDERS = 32


class LeaseContract(LeaseQueueContract):
    """A name has one owner. Override `store` with a fresh, empty store that has leases."""

    @scenario
    async def test_a_free_name_is_given_for_the_time_asked(self, store: LeasingStore, name: str) -> None:
        answer = await store.acquire(name, "a", MINUTE)

        assert answer.granted
        assert answer.lease is not None
        assert (answer.lease.owner, answer.lease.granted_at, answer.lease.expires_at) == (
            "a",
            answer.now,
            answer.now + MINUTE,
        )
        assert (answer.ahead, answer.settled) == (0, False)

    @scenario
    async def test_a_name_that_somebody_has_is_not_given_to_another(self, store: LeasingStore, name: str) -> None:
        first = await store.acquire(name, "a", MINUTE)
        second = await store.acquire(name, "b", MINUTE)

        assert not second.granted
        assert (second.lease, second.ahead) == (first.lease, 1)

    @scenario
    async def test_asking_twice_is_harmless(self, store: LeasingStore, name: str) -> None:
        first = await store.acquire(name, "a", MINUTE // 2)
        again = await store.acquire(name, "a", MINUTE)

        assert again.granted
        assert again.lease is not None
        assert first.lease is not None
        assert again.lease.fencing_number == first.lease.fencing_number
        assert again.lease.expires_at > first.lease.expires_at

    @scenario
    async def test_names_have_nothing_to_do_with_each_other(self, store: LeasingStore, name: str) -> None:
        await store.acquire(name, "a", MINUTE)
        assert (await store.acquire(name + "x", "b", MINUTE)).granted

    @scenario
    async def test_what_is_given_back_is_free_and_the_next_number_is_greater(
        self, store: LeasingStore, name: str
    ) -> None:
        numbers = []
        for owner in "abcabc":
            numbers.append(number_of(await store.acquire(name, owner, MINUTE)))
            assert await store.release(name, owner) is True

        assert sorted(set(numbers)) == numbers

    @scenario
    async def test_nobody_gives_back_or_renews_what_another_has(self, store: LeasingStore, name: str) -> None:
        answer = await store.acquire(name, "a", MINUTE)

        assert await store.release(name, "b") is False
        assert await store.renew(name, "b", 2 * MINUTE) is None
        assert (await store.acquire(name, "c", MINUTE)).lease == answer.lease
        assert await store.renew(name + "x", "a", MINUTE) is None
        assert await store.release(name + "x", "a") is False

    @scenario
    async def test_a_renewed_lease_lasts_longer_and_keeps_its_number(self, store: LeasingStore, name: str) -> None:
        first = await store.acquire(name, "a", MINUTE // 2)
        renewed = await store.renew(name, "a", MINUTE)
        other = await store.acquire(name, "b", MINUTE)

        assert other.lease is not None
        assert other.lease == renewed
        assert number_of(first) == other.lease.fencing_number
        assert other.lease.expires_at >= first.now + MINUTE

    @scenario
    async def test_a_lease_ends_by_itself_and_its_owner_is_told(self, store: LeasingStore, name: str) -> None:
        first = await store.acquire(name, "a", 50)
        second = await until(lambda: store.acquire(name, "b", MINUTE), lambda answer: answer.granted)

        assert number_of(second) > number_of(first)
        assert second.now >= first.now + 50
        assert await store.renew(name, "a", MINUTE) is None
        assert await store.release(name, "a") is False
        assert (await store.acquire(name, "c", MINUTE)).lease == second.lease

    @scenario
    async def test_numbers_grow_although_a_name_was_forgotten(self, store: LeasingStore, name: str) -> None:
        first = await store.acquire(name, "a", 1)
        await until(lambda: store.acquire(f"{name}-later", "a", 1), lambda answer: answer.now > first.now + 1)
        for number in range(50):
            await store.acquire(f"{name}-{number}", "a", 1)
            await store.release(f"{name}-{number}", "a")
        await store.aclose()

        assert number_of(await store.acquire(name, "b", MINUTE)) > number_of(first)

    @scenario
    async def test_a_settled_name_is_given_to_nobody_for_a_time(self, store: LeasingStore, name: str) -> None:
        first = await store.acquire(name, "a", MINUTE)
        await store.acquire(name, "b", MINUTE, waited=100)
        assert await store.release(name, "a", settled_for=1000) is True
        settled = [await store.acquire(name, owner, MINUTE, waited=100) for owner in ("b", "c")]
        later = await until(lambda: store.acquire(name, "c", MINUTE), lambda answer: not answer.settled)

        assert [(each.granted, each.settled, each.lease) for each in settled] == [(False, True, None)] * 2
        assert later.now >= first.now + 1000

    @scenario
    async def test_only_the_owner_settles_a_name(self, store: LeasingStore, name: str) -> None:
        await store.acquire(name, "a", MINUTE)
        await store.release(name, "b", settled_for=MINUTE)
        await store.release(name, "a")

        assert (await store.acquire(name, "c", MINUTE)).granted

    @scenario
    async def test_one_of_many_is_given_a_free_name(self, store: LeasingStore, name: str) -> None:
        answers = await asyncio.gather(*(store.acquire(name, str(each), MINUTE) for each in range(CONTENDERS)))

        assert sum(answer.granted for answer in answers) == 1
        assert len({answer.lease for answer in answers}) == 1

    @scenario
    async def test_a_lease_is_no_conversation(self, store: LeasingStore, name: str) -> None:
        record = (await store.reserve(KEY, "first", None)).record
        await store.get(KEY)
        await store.acquire(KEY, "a", MINUTE)
        await store.acquire(name, "a", MINUTE)
        recalled = store.recall(KEY)

        assert recalled in (None, record)
        assert await store.get(KEY) == record
        assert await store.get(name) is None
        assert [pair async for pair in store.scan()] == [(KEY, record)]
        assert await store.forget(name, "a") is False

    @scenario
    async def test_a_lease_outlives_the_use_of_the_store(self, store: LeasingStore, name: str) -> None:
        first = await store.acquire(name, "a", MINUTE)
        await store.aclose()
        second = await store.acquire(name, "b", MINUTE)

        assert (second.granted, second.lease) == (False, first.lease)
