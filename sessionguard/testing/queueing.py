"""How those who wait for a lease must be served: in the order of their arrival, and called where the store can."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable

import pytest

from sessionguard.leases import LeaseAnswer
from sessionguard.testing.scenario import LeasingStore, scenario

MINUTE = 60_000


class LeaseQueueContract:
    """Who has waited longest is next, unless nobody has heard of it for a while."""

    @pytest.fixture
    def name(self) -> str:
        """A name of the test's own: a store cannot be asked which there are, so nobody removes them."""
        return f"turn/{secrets.token_hex(8)}"

    @scenario
    async def test_who_has_waited_longest_is_next(self, store: LeasingStore, name: str) -> None:
        await store.acquire(name, "a", MINUTE)
        waited = {"late": 10, "early": 40_000, "middle": 20_000}
        for owner, milliseconds in waited.items():
            await store.acquire(name, owner, MINUTE, waited=milliseconds)
        ahead = {owner: (await store.acquire(name, owner, MINUTE, waited=1)).ahead for owner in waited}
        await store.release(name, "a")
        order = []
        while waited:
            granted = [owner for owner in waited if (await store.acquire(name, owner, MINUTE, waited=1)).granted]
            order += granted
            assert await store.release(name, granted[0]) is True
            del waited[granted[0]]

        assert ahead == {"late": 3, "early": 1, "middle": 2}
        assert order == ["early", "middle", "late"]

    @scenario
    async def test_somebody_who_has_just_come_does_not_push_in(self, store: LeasingStore, name: str) -> None:
        await store.acquire(name, "a", MINUTE)
        await store.acquire(name, "b", MINUTE, waited=100)
        await store.release(name, "a")
        pushing = await store.acquire(name, "c", MINUTE)

        assert (pushing.granted, pushing.lease, pushing.ahead) == (False, None, 1)
        assert (await store.acquire(name, "b", MINUTE, waited=100)).granted

    @scenario
    async def test_who_gives_the_place_up_is_waited_for_no_longer(self, store: LeasingStore, name: str) -> None:
        await store.acquire(name, "a", MINUTE)
        await store.acquire(name, "b", MINUTE, waited=100)
        assert await store.release(name, "b") is False
        await store.release(name, "a")

        assert (await store.acquire(name, "c", MINUTE)).granted

    @scenario
    async def test_who_does_not_ask_again_is_waited_for_no_longer(self, store: LeasingStore, name: str) -> None:
        await store.acquire(name, "a", MINUTE)
        await store.acquire(name, "dead", MINUTE, waited=100)
        await store.release(name, "a")

        answer = await until(lambda: store.acquire(name, "b", MINUTE, waited=0), lambda answer: answer.granted)
        assert answer.granted

    @scenario
    async def test_whoever_is_next_is_called(self, store: LeasingStore, name: str) -> None:
        await store.acquire(name, "a", MINUTE)
        await store.acquire(name, "b", MINUTE, waited=100)
        coming = await heard(store, "b")
        await store.release(name, "a")

        await called(coming)
        assert (await store.acquire(name, "b", MINUTE, waited=100)).granted

    @scenario
    async def test_when_a_name_is_settled_all_who_wait_are_called(self, store: LeasingStore, name: str) -> None:
        await store.acquire(name, "a", MINUTE)
        for owner in "bc":
            await store.acquire(name, owner, MINUTE, waited=100)
        coming = [await heard(store, owner) for owner in "bc"]
        await store.release(name, "a", settled_for=MINUTE)

        for each in coming:
            await called(each)

    @scenario
    async def test_whoever_moves_up_to_a_free_name_is_called(self, store: LeasingStore, name: str) -> None:
        await store.acquire(name, "a", MINUTE)
        for waited, owner in enumerate("cb"):
            await store.acquire(name, owner, MINUTE, waited=100 * waited)
        await store.release(name, "a")
        coming = await heard(store, "c")
        await store.release(name, "b")

        await called(coming)
        assert (await store.acquire(name, "c", MINUTE, waited=1)).granted


async def heard(store: LeasingStore, owner: str) -> asyncio.Future[None] | None:
    """What is called to the owner from now on; None for a store that says nothing aloud, when that is allowed."""
    listening = store.listen(owner)
    deadline = time.monotonic() + 20
    while (coming := None if listening is None else listening.coming()) is None and listening is not None:
        assert time.monotonic() < deadline, "the store was not heard within 20 s"
        await asyncio.sleep(0.01)
    return coming


async def called(coming: asyncio.Future[None] | None) -> None:
    """Wait until it was called."""
    if coming is not None:
        await asyncio.wait_for(coming, 20)


def number_of(answer: LeaseAnswer) -> int:
    """The fencing number of what was granted."""
    assert answer.granted
    assert answer.lease is not None
    return answer.lease.fencing_number


async def until(ask: Callable[[], Awaitable[LeaseAnswer]], enough: Callable[[LeaseAnswer], bool]) -> LeaseAnswer:
    """Ask again and again until the answer will do; time is the store's, so there is no event to wait for."""
    deadline = time.monotonic() + 20
    while not enough(answer := await ask()):
        assert time.monotonic() < deadline, f"the store did not come to another answer in 20 s: {answer}"
        await asyncio.sleep(0.01)
    return answer
