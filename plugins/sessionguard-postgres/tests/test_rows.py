"""What is in the table: rows nobody else may have written, and rows that have had their time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest
import pytest_asyncio
from postgres_server import PostgresServer
from sessionguard_postgres import PostgresStore, sweeper

from sessionguard import CorruptRecord, GuardSettings, SessionGuard, SessionRecord, Touch
from sessionguard.testing import AppProbe, Exchange

pytestmark = pytest.mark.server

Rows = Callable[[str], list[tuple[object, ...]]]

ALL = "select convert_from(key, 'utf8'), session_id, session_started_at, updated_at from sessionguard_sessions"
CORRUPT = {
    "an id with a blank": "'two words', 1, 1",
    "an empty id": "'', 1, 1",
    "a line break in the id": "E'a\\nb', 1, 1",
    "an id that is too long": "repeat('x', 257), 1, 1",
    "a start before the epoch": "'id', -1, 1",
    "a use before the epoch": "'id', 1, -1",
    "a use in the far future": "'id', 1, 9007199254740993",
}
DAY = 86_400_000


@pytest_asyncio.fixture
async def prepared(server: PostgresServer, database: str) -> str:
    await PostgresStore(server.url(database)).prepare()
    return server.url(database)


@pytest.mark.parametrize("values", CORRUPT.values(), ids=CORRUPT)
async def test_a_row_that_is_not_ours_is_reported_and_left_alone(prepared: str, rows: Rows, values: str) -> None:
    """Every verb says so, and none writes over it or takes it away."""
    store = PostgresStore(prepared, retention=1)
    rows(f"insert into sessionguard_sessions values ('key', {values})")
    before = rows(ALL)
    asked = [
        store.get("key"),
        store.reserve("key", "mine", None),
        store.reserve("key", "mine", SessionRecord("id", 1, 1)),
        store.adopt("key", SessionRecord("mine", 1, 1), SessionRecord("id", 1, 1)),
        store.adopt("key", SessionRecord("id", 1, 2), None),
        _scanned(store),
    ]
    told = await asyncio.gather(*asked, return_exceptions=True)
    await store.reserve("another", "new", None)
    await store.aclose()

    assert [type(each) for each in told] == [CorruptRecord] * len(asked)
    assert before == [row for row in rows(ALL) if row[0] == "key"]


UNFIT = {
    "an id that is too long": SessionRecord("i" * 257, 1, 1),
    "a start before the epoch": SessionRecord("id", -1, 1),
    "a use in the far future": SessionRecord("id", 1, 2**53 + 1),
}


@pytest.mark.parametrize("record", UNFIT.values(), ids=UNFIT)
async def test_a_row_that_could_not_be_read_again_does_not_move_in(
    prepared: str, rows: Rows, record: SessionRecord
) -> None:
    """Of another store, or of a mistake: nothing is written that would be reported as corrupt for ever."""
    store = PostgresStore(prepared)
    with pytest.raises(CorruptRecord):
        await store.adopt("key", record, None)
    await store.aclose()

    assert rows(ALL) == []


async def _scanned(store: PostgresStore) -> list[tuple[str, SessionRecord]]:
    return [pair async for pair in store.scan()]


async def test_a_row_that_holds_the_candidate_is_kept_whatever_was_observed(prepared: str) -> None:
    """A repeated reservation is a repetition, even to somebody who saw the row in between."""
    store = PostgresStore(prepared)
    record = (await store.reserve("key", "ours", None)).record
    while await store.ping() <= record.updated_at:
        await asyncio.sleep(0.001)
    again = await store.reserve("key", "ours", record)
    await store.aclose()

    assert (again.created, again.record) == (True, record)


async def test_a_key_that_is_not_text_is_reported(prepared: str, rows: Rows) -> None:
    """Nothing of ours writes one."""
    store = PostgresStore(prepared)
    rows("insert into sessionguard_sessions values ('\\xff', 'id', 1, 1)")
    with pytest.raises(CorruptRecord, match="not text"):
        await _scanned(store)
    await store.aclose()


async def test_a_corrupt_row_is_500_and_not_retried(prepared: str, rows: Rows) -> None:
    """The client hears that trying again is of no use."""
    rows("insert into sessionguard_sessions values ('default//agent:main:key', 'two words', 1, 1)")
    guard = SessionGuard(AppProbe(), store=prepared)
    exchange = await Exchange(guard, [(b"x-openclaw-session-key", b"key")]).run()

    assert (exchange.status, exchange.headers["x-should-retry"]) == (500, "false")


async def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition() and time.monotonic() < deadline:
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(("retention", "gone"), [(None, False), (2 * DAY, False), (DAY // 2, True)])
async def test_rows_beyond_their_retention_are_removed_and_no_others(
    prepared: str, rows: Rows, monkeypatch: pytest.MonkeyPatch, retention: int | None, gone: bool
) -> None:
    """A few of them with every new row, in rounds, until none is left."""
    monkeypatch.setattr(sweeper, "PAGE", 10)
    rows(
        "insert into sessionguard_sessions select convert_to(kind || n, 'utf8'), 'id', at, at"
        " from generate_series(1, 30) as n, (values ('old', 86400000), ('young', 60000)) as kinds (kind, age),"
        " lateral (select floor(extract(epoch from now()) * 1000)::bigint - age as at) as times"
    )
    store = PostgresStore(prepared, retention=retention)
    for number in range(30):
        await store.reserve(f"new{number}", "id", None)
        await store.ping()
    left = "select count(*) from sessionguard_sessions where key like 'old%'"
    if gone:
        await _until(lambda: rows(left) == [(0,)])
    await store.aclose()

    assert rows(left) == [(0 if gone else 30,)]
    assert rows("select count(*) from sessionguard_sessions where key not like 'old%'") == [(60,)]


async def test_a_row_that_is_touched_in_time_is_never_removed(prepared: str, rows: Rows) -> None:
    """Used every now and then, it stays; its neighbour, as old, goes while new rows come."""
    retention = 2_000
    store = PostgresStore(prepared, retention=retention)
    await store.reserve("kept", "id", None)
    await store.reserve("left", "id", None)
    deadline = time.monotonic() + 60
    number = 0
    while (left := await store.get("left")) is not None and time.monotonic() < deadline:
        number += 1
        await asyncio.gather(store.touch([Touch("kept", "id", 0)]), store.reserve(f"new-{number}", "id", None))
        await asyncio.sleep(0.01)
    kept = await store.get("kept")
    await store.aclose()

    assert kept is not None
    assert left is None


async def test_the_guard_hands_its_retention_on(prepared: str) -> None:
    """In seconds there, in milliseconds here."""
    store = PostgresStore.from_url(prepared, GuardSettings(retention=7200))

    assert (store._sweeper.sweeps, store._sweeper._retention) == (True, 7_200_000)


async def test_a_key_is_found_under_its_own_spelling_alone(prepared: str) -> None:
    """Whatever the database thinks of the order and the equality of text."""
    store = PostgresStore(prepared)
    keys = ["é", "e\u0301", "E", "e", "ß", "ss", "\ud800", "\U0010ffff", "z", "\x00"]
    for key in keys:
        await store.reserve(key, "id", None)
    found = [key async for key, _ in store.scan()]
    await store.aclose()

    assert found == sorted(keys)
