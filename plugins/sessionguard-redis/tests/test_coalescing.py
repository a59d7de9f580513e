"""Commands of one tick travel together, and no caller ever gets what belongs to another."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Sequence

import pytest
from redis_servers import PATIENT, RedisServer, open_store
from sessionguard_redis.coalescer import MOST_TURNS, Coalescer
from sessionguard_redis.store import RedisStore

from sessionguard import Touch


@pytest.mark.server
async def test_reads_of_one_tick_are_one_command(store: RedisStore, server: RedisServer) -> None:
    """However many ask, for however many keys; each gets the row of its own."""
    await asyncio.gather(*(store.reserve(f"key-{n}", f"id-{n}", None) for n in range(32)))
    with server.talk() as client:
        client.config_resetstat()
    found = await asyncio.gather(*(store.get(f"key-{n % 40}") for n in range(64)))

    assert [row and row.session_id for row in found] == [f"id-{n % 40}" if n % 40 < 32 else None for n in range(64)]
    assert (server.calls("mget"), server.calls("get")) == (1, 0)


@pytest.mark.server
async def test_a_key_that_many_ask_for_is_read_once(store: RedisStore, server: RedisServer) -> None:
    """A burst for one conversation costs what one request costs, and beside others it is one key among them."""
    await store.reserve("hot", "id-hot", None)
    with server.talk() as client:
        client.config_resetstat()
    burst = await asyncio.gather(*(store.get("hot") for _ in range(50)))
    mixed = await asyncio.gather(*(store.get(key) for key in ("hot", "cold", "hot")))

    assert {row and row.session_id for row in burst} == {"id-hot"}
    assert [row and row.session_id for row in mixed] == ["id-hot", None, "id-hot"]
    assert (server.calls("get"), server.calls("mget")) == (1, 1)


async def test_who_comes_in_the_next_turn_of_the_loop_still_travels_along() -> None:
    """As long as every turn brings more, but not for ever; who is alone is not made to wait."""
    batches: list[int] = []
    turns_waited = 0

    async def carry(questions: Sequence[int]) -> Sequence[int]:
        batches.append(len(questions))
        return questions

    coalescer = Coalescer(carry, asyncio.Semaphore(1), 1000)
    asked = [coalescer.ask(0), coalescer.ask(1)]
    while not batches:
        await asyncio.sleep(0)
        asked.append(coalescer.ask(len(asked)))
        turns_waited += 1
    await asyncio.gather(*asked)
    alone = coalescer.ask(0)
    await asyncio.sleep(0)

    assert turns_waited == MOST_TURNS + 1
    assert batches[0] == MOST_TURNS + 2
    assert batches[-1] == 1
    assert len(batches) == 3
    assert await alone == 0


@pytest.mark.server
async def test_a_read_alone_is_a_plain_get(store: RedisStore, server: RedisServer) -> None:
    """One key per operation, as clusters and proxies like it."""
    await store.get("key")

    assert (server.calls("mget"), server.calls("get")) == (0, 1)


async def test_an_answer_is_never_older_than_its_question() -> None:
    """Who comes after a batch was sent waits for the next one."""
    batches: list[list[str]] = []
    sent, arrived = asyncio.Event(), asyncio.Event()

    async def carry(questions: Sequence[str]) -> Sequence[str]:
        batches.append(list(questions))
        sent.set()
        await arrived.wait()
        return questions

    coalescer = Coalescer(carry, asyncio.Semaphore(2), 100)
    early = [coalescer.ask("a"), coalescer.ask("b")]
    await sent.wait()
    late = coalescer.ask("a")
    arrived.set()

    assert await asyncio.gather(*early, late) == ["a", "b", "a"]
    assert batches == [["a", "b"], ["a"]]


async def test_what_has_no_turn_yet_gathers() -> None:
    """While all connections are busy; then it goes in as few batches as their size allows, without those who left."""
    batches: list[int] = []
    sent, arrived = asyncio.Event(), asyncio.Event()

    async def carry(questions: Sequence[int]) -> Sequence[int]:
        batches.append(len(questions))
        sent.set()
        await arrived.wait()
        return questions

    coalescer = Coalescer(carry, asyncio.Semaphore(1), 40)
    first = coalescer.ask(-1)
    await sent.wait()
    asked = [coalescer.ask(number) for number in range(100)]
    await asyncio.sleep(0)
    asked[0].cancel()
    arrived.set()

    assert await asyncio.gather(*asked[1:]) == list(range(1, 100))
    assert await first == -1
    assert batches == [1, 40, 40, 19]


async def test_a_failure_is_everybodys_in_the_batch_and_nobodys_behind_it() -> None:
    """Each is told; the next question starts afresh."""
    fails = [True, False]

    async def carry(questions: Sequence[int]) -> Sequence[int]:
        if fails.pop(0):
            raise ConnectionError("lost")
        return questions

    coalescer = Coalescer(carry, asyncio.Semaphore(1), 100)
    failed = await asyncio.gather(coalescer.ask(1), coalescer.ask(2), return_exceptions=True)

    assert [type(answer) for answer in failed] == [ConnectionError] * 2
    assert await coalescer.ask(3) == 3


@pytest.mark.server
async def test_cancelled_callers_never_leave_an_answer_to_others(store: RedisStore, server: RedisServer) -> None:
    """A storm of reads, reservations and touches, half of them cancelled on their way: replies stay with their keys."""
    chance = random.Random(0)
    await asyncio.gather(*(store.reserve(f"key-{n}", f"id-key-{n}", None) for n in range(100)))
    judged = 0

    async def use(number: int) -> None:
        nonlocal judged
        key = f"key-{number % 120}"
        if number % 3 == 0:
            await store.touch([Touch(key, f"id-{key}", 0)])
        if number % 3 == 1:
            reservation = await store.reserve(key, f"id-{key}", None)
            assert reservation.record.session_id == f"id-{key}"
        row = await store.get(key)
        assert row is None or row.session_id == f"id-{key}"
        judged += 1

    for _ in range(40):
        tasks = [asyncio.ensure_future(use(chance.randrange(10_000))) for _ in range(100)]
        for task in chance.sample(tasks, 50):
            await asyncio.sleep(chance.choice([0, 0, 0.0005]))
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
    with server.talk() as client:
        connections = len(client.client_list()) - 1

    assert judged > 1_000
    assert connections <= 8


@pytest.mark.server
async def test_a_reservation_whose_caller_left_is_finished_or_not_begun(store: RedisStore) -> None:
    """Never half: what stands afterwards is a whole row with the candidate's id, or nothing."""
    for number in range(100):
        task = asyncio.ensure_future(store.reserve(f"key-{number}", f"id-{number}", None))
        for _ in range(number % 7):
            await asyncio.sleep(0)
        task.cancel()
    await store.aclose()  # What is under way comes to its end.
    rows = {key: row.session_id async for key, row in store.scan()}

    assert 0 < len(rows) < 100
    assert rows == {key: key.replace("key", "id") for key in rows}


@pytest.mark.server
async def test_connections_are_made_when_they_are_needed(server: RedisServer) -> None:
    """Building a store makes none; one caller after the other needs one."""
    store = open_store(server.url + PATIENT)
    with server.talk() as client:
        before = len(client.client_list())
        for number in range(20):
            await store.get(f"key-{number}")
        after = len(client.client_list())
    await store.aclose()

    assert after == before + 1
