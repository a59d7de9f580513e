"""What leases must be, for stores that have them: one owner at a time, in the order of arrival, gone by themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from sessionguard.leases import LeaseAnswer
from sessionguard.testing.scenario import KEY, LeasingStore, scenario

NAME = "turn/a-session-id"
MINUTE = 60_000
CONTENDERS = 32


class LeaseContract:
    """A name has one owner. Override `store` with a fresh, empty store that has leases."""

    @scenario
    async def test_a_free_name_is_given_for_the_time_asked(self, store: LeasingStore) -> None:
        answer = await store.acquire(NAME, "a", MINUTE)

        assert answer.granted
        assert answer.lease is not None
        assert (answer.lease.owner, answer.lease.granted_at, answer.lease.expires_at) == (
            "a",
            answer.now,
            answer.now + MINUTE,
        )
        assert (answer.ahead, answer.settled) == (0, False)

    @scenario
    async def test_a_name_that_somebody_has_is_not_given_to_another(self, store: LeasingStore) -> None:
        first = await store.acquire(NAME, "a", MINUTE)
        second = await store.acquire(NAME, "b", MINUTE)

        assert not second.granted
        assert (second.lease, second.ahead) == (first.lease, 1)

    @scenario
    async def test_asking_twice_is_harmless(self, store: LeasingStore) -> None:
        first = await store.acquire(NAME, "a", 1000)
        again = await store.acquire(NAME, "a", MINUTE)

        assert again.granted
        assert again.lease is not None
        assert first.lease is not None
        assert again.lease.fencing_number == first.lease.fencing_number
        assert again.lease.expires_at > first.lease.expires_at

    @scenario
    async def test_names_have_nothing_to_do_with_each_other(self, store: LeasingStore) -> None:
        await store.acquire(NAME, "a", MINUTE)
        assert (await store.acquire(NAME + "x", "b", MINUTE)).granted

    @scenario
    async def test_what_is_given_back_is_free_and_the_next_number_is_greater(self, store: LeasingStore) -> None:
        numbers = []
        for owner in "abcabc":
            numbers.append(number_of(await store.acquire(NAME, owner, MINUTE)))
            assert await store.release(NAME, owner) is True

        assert sorted(set(numbers)) == numbers

    @scenario
    async def test_nobody_gives_back_or_renews_what_another_has(self, store: LeasingStore) -> None:
        answer = await store.acquire(NAME, "a", MINUTE)

        assert await store.release(NAME, "b") is False
        assert await store.renew(NAME, "b", 2 * MINUTE) is None
        assert (await store.acquire(NAME, "c", MINUTE)).lease == answer.lease
        assert await store.renew(NAME + "x", "a", MINUTE) is None
        assert await store.release(NAME + "x", "a") is False

    @scenario
    async def test_a_renewed_lease_lasts_longer_and_keeps_its_number(self, store: LeasingStore) -> None:
        first = await store.acquire(NAME, "a", 200)
        renewed = await store.renew(NAME, "a", MINUTE)
        other = await store.acquire(NAME, "b", MINUTE)

        assert other.lease is not None
        assert other.lease == renewed
        assert number_of(first) == other.lease.fencing_number
        assert other.lease.expires_at > first.now + 1000

    @scenario
    async def test_a_lease_ends_by_itself_and_its_owner_is_told(self, store: LeasingStore) -> None:
        first = await store.acquire(NAME, "a", 50)
        second = await until(lambda: store.acquire(NAME, "b", MINUTE), lambda answer: answer.granted)

        assert number_of(second) > number_of(first)
        assert second.now >= first.now + 50
        assert await store.renew(NAME, "a", MINUTE) is None
        assert await store.release(NAME, "a") is False
        assert (await store.acquire(NAME, "c", MINUTE)).lease == second.lease

    @scenario
    async def test_numbers_grow_although_a_name_was_forgotten(self, store: LeasingStore) -> None:
        first = await store.acquire(NAME, "a", 1)
        for number in range(50):
            await store.acquire(f"{NAME}-{number}", "a", 1)
            await store.release(f"{NAME}-{number}", "a")
        await store.aclose()

        assert number_of(await store.acquire(NAME, "b", MINUTE)) > number_of(first)

    @scenario
    async def test_who_has_waited_longest_is_next(self, store: LeasingStore) -> None:
        await store.acquire(NAME, "a", MINUTE)
        waited = {"late": 10, "early": 900, "middle": 400}
        for owner, milliseconds in waited.items():
            await store.acquire(NAME, owner, MINUTE, waited=milliseconds)
        ahead = {owner: (await store.acquire(NAME, owner, MINUTE, waited=1)).ahead for owner in waited}
        await store.release(NAME, "a")
        order = []
        while waited:
            granted = [owner for owner in waited if (await store.acquire(NAME, owner, MINUTE, waited=1)).granted]
            order += granted
            assert await store.release(NAME, granted[0]) is True
            del waited[granted[0]]

        assert ahead == {"late": 3, "early": 1, "middle": 2}
        assert order == ["early", "middle", "late"]

    @scenario
    async def test_somebody_who_has_just_come_does_not_push_in(self, store: LeasingStore) -> None:
        await store.acquire(NAME, "a", MINUTE)
        await store.acquire(NAME, "b", MINUTE, waited=100)
        await store.release(NAME, "a")
        pushing = await store.acquire(NAME, "c", MINUTE)

        assert (pushing.granted, pushing.lease, pushing.ahead) == (False, None, 1)
        assert (await store.acquire(NAME, "b", MINUTE, waited=100)).granted

    @scenario
    async def test_who_gives_the_place_up_is_waited_for_no_longer(self, store: LeasingStore) -> None:
        await store.acquire(NAME, "a", MINUTE)
        await store.acquire(NAME, "b", MINUTE, waited=100)
        assert await store.release(NAME, "b") is False
        await store.release(NAME, "a")

        assert (await store.acquire(NAME, "c", MINUTE)).granted

    @scenario
    async def test_who_does_not_ask_again_is_waited_for_no_longer(self, store: LeasingStore) -> None:
        await store.acquire(NAME, "a", MINUTE)
        await store.acquire(NAME, "dead", MINUTE, waited=100)
        await store.release(NAME, "a")

        answer = await until(lambda: store.acquire(NAME, "b", MINUTE, waited=0), lambda answer: answer.granted)
        assert answer.granted

    @scenario
    async def test_a_settled_name_is_given_to_nobody_for_a_time(self, store: LeasingStore) -> None:
        first = await store.acquire(NAME, "a", MINUTE)
        await store.acquire(NAME, "b", MINUTE, waited=100)
        assert await store.release(NAME, "a", settled_for=300) is True
        settled = [await store.acquire(NAME, owner, MINUTE, waited=100) for owner in ("b", "c")]
        later = await until(lambda: store.acquire(NAME, "c", MINUTE), lambda answer: not answer.settled)

        assert [(each.granted, each.settled, each.lease) for each in settled] == [(False, True, None)] * 2
        assert later.now >= first.now + 300

    @scenario
    async def test_only_the_owner_settles_a_name(self, store: LeasingStore) -> None:
        await store.acquire(NAME, "a", MINUTE)
        await store.release(NAME, "b", settled_for=MINUTE)
        await store.release(NAME, "a")

        assert (await store.acquire(NAME, "c", MINUTE)).granted

    @scenario
    async def test_one_of_many_is_given_a_free_name(self, store: LeasingStore) -> None:
        answers = await asyncio.gather(*(store.acquire(NAME, str(each), MINUTE) for each in range(CONTENDERS)))

        assert sum(answer.granted for answer in answers) == 1
        assert len({answer.lease for answer in answers}) == 1

    @scenario
    async def test_a_lease_is_no_conversation(self, store: LeasingStore) -> None:
        record = (await store.reserve(KEY, "first", None)).record
        await store.get(KEY)
        await store.acquire(KEY, "a", MINUTE)
        await store.acquire(NAME, "a", MINUTE)
        recalled = store.recall(KEY)

        assert recalled in (None, record)
        assert await store.get(KEY) == record
        assert await store.get(NAME) is None
        assert [pair async for pair in store.scan()] == [(KEY, record)]
        assert await store.forget(NAME, "a") is False

    @scenario
    async def test_a_lease_outlives_the_use_of_the_store(self, store: LeasingStore) -> None:
        first = await store.acquire(NAME, "a", MINUTE)
        await store.aclose()
        second = await store.acquire(NAME, "b", MINUTE)

        assert (second.granted, second.lease) == (False, first.lease)


def number_of(answer: LeaseAnswer) -> int:
    """The fencing number of what was granted."""
    assert answer.granted
    assert answer.lease is not None
    return answer.lease.fencing_number


async def until(ask: Callable[[], Awaitable[LeaseAnswer]], enough: Callable[[LeaseAnswer], bool]) -> LeaseAnswer:
    """Ask again and again until the answer will do; time is the store's, so there is no event to wait for."""
    for _ in range(2000):
        answer = await ask()
        if enough(answer):
            return answer
        await asyncio.sleep(0.01)
    raise AssertionError("the store did not come to another answer in 20 s")
