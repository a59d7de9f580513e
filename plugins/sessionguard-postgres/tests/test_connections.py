"""The connections behind the verbs: how many, whose, and what becomes of them when callers leave or servers fail."""

from __future__ import annotations

import asyncio
import gc
import random
import threading
import time
from collections.abc import AsyncIterator, Callable

import asyncpg
import pytest
import pytest_asyncio
from postgres_server import PostgresServer
from sessionguard_postgres import PostgresStore, pool

from sessionguard import SessionGuard, StoreUnavailable, Touch
from sessionguard.testing import AppProbe, Exchange, FaultyWire, WireFault

pytestmark = [pytest.mark.server, pytest.mark.lowest]

Rows = Callable[[str], list[tuple[object, ...]]]
SETTLED_SECONDS = 30.0
CONTENDERS = 8
"""Every failure of a transaction is the success of another one, so none fails more often than there are others."""
OURS = "select pid from pg_stat_activity where application_name = 'sessionguard' and datname = current_database()"


@pytest_asyncio.fixture
async def prepared(server: PostgresServer, database: str) -> str:
    """The URL of a database with our tables."""
    await PostgresStore(server.url(database)).prepare()
    return server.url(database)


@pytest_asyncio.fixture
async def holder(prepared: str) -> AsyncIterator[asyncpg.Connection]:
    """Somebody else's connection, for what holds up others."""
    connection = await asyncpg.connect(prepared, server_settings={"application_name": "holder"})
    yield connection
    await connection.close()


async def filled(store: PostgresStore, rows: Rows, size: int) -> list[tuple[object, ...]]:
    """Ask until the pool has grown to its size; returns its connections."""
    deadline = time.monotonic() + SETTLED_SECONDS
    while len(connections := rows(OURS)) < size and time.monotonic() < deadline:
        await asyncio.gather(*(store.ping() for _ in range(20 * size)))
    return connections


async def settled(rows: Rows, size: int) -> int:
    """How many connections there are when there are `size`, or when it is certain that there will not be.

    A server learns of the end of a connection, and forgets it, a moment later than who has ended it.
    """
    deadline = time.monotonic() + SETTLED_SECONDS
    while (found := len(rows(OURS))) != size and time.monotonic() < deadline:
        await asyncio.sleep(0.02)
    return found


@pytest.mark.usefixtures("unhurried")
async def test_there_are_never_more_connections_than_the_pool_may_have(prepared: str, rows: Rows) -> None:
    """However much is asked at once; what there is no room for waits."""
    store = PostgresStore(f"{prepared}?pool_size=3")
    before = await filled(store, rows, 3)
    rows_read = await asyncio.gather(*(store.get(f"key-{n}") for n in range(300)))
    after = rows(OURS)
    await store.aclose()

    assert rows_read == [None] * 300
    assert len(before) == 3
    assert sorted(after) == sorted(before)


@pytest.mark.usefixtures("unhurried")
async def test_a_store_that_is_used_now_and_then_has_one_connection(prepared: str, rows: Rows) -> None:
    """None is opened ahead of its time, and the one there is is used again."""
    store = PostgresStore(prepared)
    seen = set()
    for _ in range(5):
        await store.ping()
        seen.update(rows(OURS))
    await store.aclose()

    assert len(seen) == 1


async def test_connections_that_have_rested_for_long_are_given_back(
    prepared: str, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A burst does not hold its connections for ever."""
    store = PostgresStore(prepared)
    before = await filled(store, rows, 5)
    monkeypatch.setattr(pool, "IDLE_SECONDS", 0.0)
    # A connection that still hands over its last answers does not rest yet, and is kept by this use of the pool.
    deadline = time.monotonic() + SETTLED_SECONDS
    while len(rows(OURS)) > 1 and time.monotonic() < deadline:
        await store.ping()
    after = rows(OURS)
    await store.aclose()

    assert (len(before), len(after)) == (5, 1)


@pytest.mark.slow
async def test_an_exhausted_pool_is_503_in_time_and_recovers(
    prepared: str, holder: asyncpg.Connection, rows: Rows
) -> None:
    """Its one connection waits for a row somebody holds; when that is over, all goes on, with the one id."""
    url = f"{prepared}?pool_size=1"
    guard = SessionGuard(AppProbe(), store=url, expose_session_id=True)
    transaction = holder.transaction()
    await transaction.start()
    await holder.execute("lock table sessionguard_sessions")

    async def ask(key: str) -> int:
        return (await Exchange(guard, [(b"x-openclaw-session-key", key.encode())]).run()).status

    # All of them are answered while the lock is held.
    during = await asyncio.gather(*(ask(f"key-{n}") for n in range(40)))
    await transaction.rollback()
    after = await asyncio.gather(*(ask(f"key-{n}") for n in range(40)))

    assert {*during} == {503}
    assert {*after} == {200}
    assert rows("select count(*), count(distinct session_id) from sessionguard_sessions") == [(40, 40)]


async def test_a_server_without_room_for_another_connection_serves_with_those_there_are(
    server: PostgresServer, prepared: str, database: str, rows: Rows
) -> None:
    """One connection is allowed, five are wanted."""
    rows(f"create role crowded_{database} login connection limit 1")
    rows(f"grant all on sessionguard_sessions, sessionguard_schema to crowded_{database}")
    store = PostgresStore(server.url(database, user=f"crowded_{database}"))
    await store.ping()
    answers = await asyncio.gather(*(store.reserve(f"key-{n}", "id", None) for n in range(50)))
    await store.aclose()

    assert [answer.created for answer in answers] == [True] * 50


@pytest.mark.usefixtures("unhurried")
async def test_a_storm_of_cancellations_confuses_no_connection(prepared: str, rows: Rows) -> None:
    """Callers leave at any moment; those who stay are given their own row, on the connections there were before."""
    store = PostgresStore(f"{prepared}?pool_size=3")
    chance = random.Random(0)
    for number in range(20):
        await store.reserve(f"key-{number}", f"id-{number}", None)
    before = await filled(store, rows, 3)
    cancelled = 0

    async def ask() -> None:
        nonlocal cancelled
        number = chance.randrange(20)
        verb = store.get(f"key-{number}") if chance.random() < 0.5 else store.reserve(f"key-{number}", "late", None)
        task = asyncio.ensure_future(verb)
        if chance.random() < 0.5:
            # Some as soon as they have asked, others on their way or when they have their answer.
            await asyncio.sleep(chance.choice([0, chance.uniform(0, 0.003)]))
            cancelled += task.cancel()
        try:
            answer = await task
        except asyncio.CancelledError:
            return
        assert getattr(answer, "record", answer).session_id == f"id-{number}"

    for _ in range(40):
        await asyncio.gather(*(ask() for _ in range(50)))
    after = rows(OURS)
    await store.aclose()

    assert cancelled > 200
    assert sorted(after) == sorted(before)


async def test_a_caller_who_leaves_does_not_take_his_reservation_along(
    prepared: str, holder: asyncpg.Connection, rows: Rows
) -> None:
    """Sent is sent: it comes to pass though nobody waits, and the connection is used again."""
    store = PostgresStore(f"{prepared}?pool_size=1")
    await store.ping()
    transaction = holder.transaction()
    await transaction.start()
    await holder.execute("lock table sessionguard_sessions")
    reservation = asyncio.ensure_future(store.reserve("key", "first", None))
    while not rows("select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"):
        await asyncio.sleep(0.01)
    reservation.cancel()
    await asyncio.wait({reservation})
    await transaction.rollback()
    record = await store.get("key")
    await store.aclose()

    assert reservation.cancelled()
    assert record is not None
    assert record.session_id == "first"


async def test_a_connection_that_gives_no_answer_is_replaced(
    server: PostgresServer, prepared: str, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Silence is not waited for to the end: what was asked is asked again on another one, and answered."""
    with FaultyWire("127.0.0.1", server.port) as wire:
        store = PostgresStore(server.url(database, port=wire.port, pool_size=1))
        monkeypatch.setattr(pool, "JOB_SECONDS", 60.0)
        reservation = await store.reserve("key", "first", None)
        wire.fail(WireFault("drop", "reply"))
        record = await store.get("key")
        await store.aclose()

    assert record == reservation.record


async def test_a_removal_of_unknown_outcome_is_not_called_a_failure(
    server: PostgresServer, prepared: str, database: str
) -> None:
    """Sent twice, it would say that there was nothing to remove."""
    with FaultyWire("127.0.0.1", server.port) as wire:
        store = PostgresStore(server.url(database, port=wire.port))
        for key in ("first", "second"):
            await store.reserve(key, "id", None)
        await store.forget("first", "id")
        wire.fail(WireFault("reset", "reply"))
        with pytest.raises(StoreUnavailable):
            await store.forget("second", "id")
        left = await store.get("second")
        await store.aclose()

    assert left is None


async def test_connections_at_rest_go_with_one_that_was_lost(
    server: PostgresServer, prepared: str, database: str, rows: Rows
) -> None:
    """What befell it has probably befallen them: after one silence there is no second one behind it."""
    with FaultyWire("127.0.0.1", server.port) as wire:
        store = PostgresStore(server.url(database, port=wire.port))
        await filled(store, rows, 5)
        wire.fail(WireFault("drop", "reply", lasting=True))
        with pytest.raises(StoreUnavailable):
            await store.get("key")
        wire.heal()
        before = wire.connections
        await store.get("key")
        after = wire.connections
        await store.aclose()

    assert after > before


async def test_a_connection_that_may_not_write_any_more_is_replaced(prepared: str, rows: Rows) -> None:
    """Its server has become a standby, say; the error of one is played by a trigger here."""
    store = PostgresStore(f"{prepared}?pool_size=1")
    await store.ping()
    rows("create table demoted as select pid from pg_stat_activity where application_name = 'sessionguard'")
    rows(
        "create function refuse() returns trigger language plpgsql as $$ begin"
        " if pg_backend_pid() in (select pid from demoted) then raise 'read-only' using errcode = '25006'; end if;"
        " return new; end $$"
    )
    rows("create trigger refuse before insert on sessionguard_sessions for each row execute function refuse()")
    reservation = await store.reserve("key", "first", None)
    await store.aclose()

    assert reservation.created


@pytest.mark.usefixtures("unhurried")
async def test_serialization_failures_are_tried_again(
    server: PostgresServer, prepared: str, database: str, rows: Rows
) -> None:
    """Behind a pooler the isolation level is the database's; where that is serializable, transactions fail for it."""
    rows(f"alter database {database} set default_transaction_isolation = serializable")
    store = PostgresStore(f"{prepared}?pooler=on&pool_size={CONTENDERS}")
    await filled(store, rows, CONTENDERS)
    before = _rollbacks(rows)
    for turn in range(20):
        answers = await asyncio.gather(*(store.reserve(f"key-{turn}", f"id-{n}", None) for n in range(CONTENDERS)))
        assert sum(answer.created for answer in answers) == 1
        assert len({answer.record.session_id for answer in answers}) == 1
    await store.aclose()
    deadline = time.monotonic() + SETTLED_SECONDS
    while _rollbacks(rows) == before and time.monotonic() < deadline:
        await asyncio.sleep(0.05)

    assert _rollbacks(rows) > before


def _rollbacks(rows: Rows) -> int:
    ((count,),) = rows("select xact_rollback from pg_stat_database where datname = current_database()")
    return int(str(count))


@pytest.mark.usefixtures("unhurried")
async def test_a_deadlock_is_tried_again(prepared: str, holder: asyncpg.Connection) -> None:
    """Somebody locks the rows of a batch in the other order; the batch gives way, and is written afterwards."""
    # The batch looks for a circle once, when it has waited so long; by then there has to be one.
    store = PostgresStore(f"{prepared}?options=-c%20deadlock_timeout%3D3s")
    records = [(await store.reserve(key, "id", None)).record for key in ("a", "b")]
    while await store.ping() <= records[-1].updated_at:
        await asyncio.sleep(0.001)
    await holder.execute("set deadlock_timeout = '60s'")
    transaction = holder.transaction()
    await transaction.start()
    await holder.execute("select from sessionguard_sessions where key = 'b' for update")
    batch = asyncio.ensure_future(store.touch([Touch("b", "id", 0), Touch("a", "id", 0)]))
    while not await holder.fetchval("select count(*) from pg_stat_activity where wait_event_type = 'Lock'"):
        await asyncio.sleep(0.01)
    await holder.execute("select from sessionguard_sessions where key = 'a' for update")
    await transaction.rollback()
    await batch
    touched = [await store.get(key) for key in ("a", "b")]
    await store.aclose()

    assert all(
        row is not None and row.updated_at > record.updated_at for row, record in zip(touched, records, strict=True)
    )


@pytest.mark.usefixtures("unhurried")
async def test_batches_of_touches_never_wait_for_each_other_in_a_circle(prepared: str, rows: Rows) -> None:
    """The same rows in every order, all at once, and no deadlock among them."""
    store = PostgresStore(f"{prepared}?pool_size=8")
    keys = [f"key-{n}" for n in range(100)]
    await asyncio.gather(*(store.reserve(key, "id", None) for key in keys))
    chance = random.Random(0)

    def batch() -> list[Touch]:
        return [Touch(key, "id", 0) for key in chance.sample(keys, len(keys))]

    for _ in range(10):
        await asyncio.gather(*(store.touch(batch()) for _ in range(16)))
    await store.aclose()

    assert rows("select deadlocks from pg_stat_database where datname = current_database()") == [(0,)]


async def test_two_touches_of_a_row_in_a_batch_leave_the_later_one(prepared: str) -> None:
    """Whatever their order."""
    store = PostgresStore(prepared)
    record = (await store.reserve("key", "id", None)).record
    while await store.ping() <= record.updated_at + 5:
        await asyncio.sleep(0.001)
    await store.touch([Touch("key", "id", 0), Touch("key", "id", 3_600_000)])
    touched = await store.get("key")
    await store.aclose()

    assert touched is not None
    assert touched.updated_at > record.updated_at


def test_loops_in_threads_have_connections_of_their_own(prepared_in_thread: str, rows: Rows) -> None:
    """Two loops that run at once never share one, and one of them may close the store for both."""
    store = PostgresStore(prepared_in_thread)
    ready, done = threading.Barrier(2), threading.Event()
    failures: list[Exception] = []

    async def live() -> None:
        await store.ping()
        ready.wait()
        while not done.is_set():
            await asyncio.sleep(0.01)

    def run() -> None:
        try:
            asyncio.run(live())
        except Exception as error:
            failures.append(error)

    async def close() -> list[int]:
        await store.ping()
        ready.wait()
        counts = [len(rows(OURS))]
        await store.aclose()
        return [*counts, await settled(rows, 0)]

    thread = threading.Thread(target=run)
    thread.start()
    counts = asyncio.run(close())
    done.set()
    thread.join()

    assert (failures, counts) == ([], [2, 0])


@pytest.fixture
def prepared_in_thread(server: PostgresServer, database: str) -> str:
    """The same URL, for tests that bring loops of their own."""
    asyncio.run(PostgresStore(server.url(database)).prepare())
    return server.url(database)


def test_a_loop_that_ends_leaves_no_connection_behind(prepared_in_thread: str, rows: Rows) -> None:
    """Nobody has to close the store for that."""
    store = PostgresStore(prepared_in_thread)
    for _ in range(3):
        asyncio.run(store.ping())

    assert asyncio.run(settled(rows, 0)) == 0


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_loop_that_is_cut_off_is_forgotten_by_the_next(prepared_in_thread: str, rows: Rows) -> None:
    """It was closed without a chance to close anything; the server hears of it all the same."""
    store = PostgresStore(prepared_in_thread)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(store.ping())
    loop.close()
    before = len(rows(OURS))

    async def afterwards() -> int:
        await store.ping()
        return await settled(rows, 1)

    after = asyncio.run(afterwards())
    # What the loop left open is complained of here, where it is expected.
    del loop
    gc.collect()

    assert (before, after) == (1, 1)


async def test_a_store_on_uvloop_keeps_the_contract(prepared: str) -> None:
    """One reservation, one read, and no connection left."""
    uvloop = pytest.importorskip("uvloop")
    store = PostgresStore(prepared)

    async def converse() -> bool:
        reservation = await store.reserve("key", "first", None)
        return await store.get("key") == reservation.record

    def run() -> bool:
        return bool(uvloop.run(converse()))

    assert await asyncio.to_thread(run)


async def test_a_key_that_no_index_can_hold_is_refused_and_not_asked_for_again(prepared: str) -> None:
    """Long and without repetition; a client that tried again would fare no better."""
    key = random.Random(0).randbytes(2000).hex()
    guard = SessionGuard(AppProbe(), store=prepared, max_key_length=4096)
    exchange = await Exchange(guard, [(b"x-openclaw-session-key", key.encode())]).run()

    assert exchange.status == 400


async def test_what_is_asked_after_closing_opens_anew(prepared: str, rows: Rows) -> None:
    """And what was under way when it was closed is answered first."""
    store = PostgresStore(prepared)
    under_way = [asyncio.ensure_future(store.reserve(f"key-{n}", "id", None)) for n in range(20)]
    await asyncio.sleep(0)
    await store.aclose()
    answers = await asyncio.gather(*under_way)
    closed = await settled(rows, 0)
    again = await store.get("key-0")
    await store.aclose()

    assert all(answer.created for answer in answers)
    assert closed == 0
    assert again is not None


async def test_a_store_that_does_not_answer_says_so_to_whoever_asks_it_directly(
    prepared: str, holder: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a guard, too, every verb ends, within the two seconds of a job; or the one that it is given here."""
    allowed = pool.JOB_SECONDS
    monkeypatch.setattr(pool, "JOB_SECONDS", 1.0)
    store = PostgresStore(prepared)
    transaction = holder.transaction()
    await transaction.start()
    await holder.execute("lock table sessionguard_sessions")
    with pytest.raises(StoreUnavailable):
        await store.get("key")
    await transaction.rollback()
    await store.aclose()

    assert allowed == 2.0
