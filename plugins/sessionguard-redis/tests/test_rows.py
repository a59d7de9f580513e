"""The rows as Redis has them: text that people can read, and that is never overwritten when it is not ours."""

from __future__ import annotations

import pytest
from redis_servers import PATIENT, RedisServer, open_store
from sessionguard_redis.store import RedisStore

from sessionguard import CorruptRecord, SessionRecord, Touch

pytestmark = pytest.mark.server

NAME = "sessionguard:key"
STRANGERS = {
    "nothing": "",
    "a newer version": "2 id 1000 2000",
    "no version": "id 1000 2000",
    "a field too few": "1 id 1000",
    "a field too many": "1 id 1000 2000 3000",
    "a time that is text": "1 id 1000 now",
    "a time before the epoch": "1 id 1000 -1",
    "a fraction": "1 id 1000 2000.5",
    "an id with a space": "1 i d 1000 2000",
    "an id with a line break": "1 i\nd 1000 2000",
    "a line break behind": "1 id 1000 2000\n",
    "an id beyond all measure": f"1 {'i' * 300} 1000 2000",
    "a start beyond all time": "1 id 9999999999999999 2000",
    "a use beyond all time": "1 id 1000 9999999999999999",
    "bytes": b"1 id 1000 \xff\x00",
    "a JSON object": '{"session_id": "id"}',
}


async def test_a_row_is_text(store: RedisStore, server: RedisServer) -> None:
    """Version, id, when the session started, when it was last used."""
    record = (await store.reserve("key", "some-id", None)).record
    with server.talk() as client:
        assert client.get(NAME) == f"1 some-id {record.session_started_at} {record.updated_at}"


async def test_the_longest_id_fits(store: RedisStore) -> None:
    """256 characters, as the guard allows; with a sign that formats could trip over."""
    longest = "%s" + "~" * 254
    reservation = await store.reserve("key", longest, None)
    again = await store.reserve("key", "another", reservation.record)

    assert reservation.record.session_id == longest
    assert again.created


async def test_a_row_that_is_ours_already_is_kept_even_if_it_looks_stale(
    store: RedisStore, server: RedisServer
) -> None:
    """A retry of a reservation renews nothing, whatever the caller has seen in between."""
    with server.talk() as client:
        client.set(NAME, "1 mine 1000 2000")
    reservation = await store.reserve("key", "mine", SessionRecord("mine", 1000, 2000))

    assert (reservation.created, reservation.record) == (True, SessionRecord("mine", 1000, 2000))


@pytest.mark.parametrize("value", STRANGERS.values(), ids=STRANGERS)
async def test_a_row_that_is_not_ours_is_reported_and_left_as_it_is(
    store: RedisStore, server: RedisServer, value: str | bytes
) -> None:
    """By every verb, whatever the caller has seen before."""
    with server.talk() as client:
        client.set(NAME, value)
        for verb in (
            store.get("key"),
            store.reserve("key", "mine", None),
            store.reserve("key", "mine", SessionRecord("id", 1000, 2000)),
            store.adopt("key", SessionRecord("mine", 1000, 2000), None),
            store.adopt("key", SessionRecord("id", 1000, 3000), SessionRecord("id", 1000, 2000)),
            store.touch([Touch("key", "id", 0)]),
            store.forget("key", "id"),
        ):
            with pytest.raises(CorruptRecord, match="left untouched"):
                await verb
        assert client.dump(NAME) == (client.set("copy", value), client.dump("copy"))[1]


async def test_a_key_of_another_type_is_reported_and_left_as_it_is(store: RedisStore, server: RedisServer) -> None:
    """A list under our key is somebody's data."""
    with server.talk() as client:
        client.rpush(NAME, "theirs")
        for verb in (store.get("key"), store.reserve("key", "mine", None), store.forget("key", "id")):
            with pytest.raises(CorruptRecord):
                await verb
        assert client.lrange(NAME, 0, -1) == ["theirs"]


UNFIT = {
    "an id that is too long": SessionRecord("i" * 257, 1000, 2000),
    "an id with a space": SessionRecord("i d", 1000, 2000),
    "a start before the epoch": SessionRecord("id", -1, 2000),
    "a use beyond all time": SessionRecord("id", 1000, 10**15),
}


@pytest.mark.parametrize("record", UNFIT.values(), ids=UNFIT)
async def test_a_row_that_could_not_be_read_again_does_not_move_in(
    store: RedisStore, server: RedisServer, record: SessionRecord
) -> None:
    """Of another store, or of a mistake: nothing is written that would be reported as corrupt for ever."""
    with pytest.raises(CorruptRecord, match="does not fit into Redis"):
        await store.adopt("key", record, None)
    with server.talk() as client:
        assert client.get(NAME) is None


async def test_a_row_that_is_not_ours_spoils_nobody_elses(store: RedisStore, server: RedisServer) -> None:
    """Reads and touches that travel with it arrive."""
    record = (await store.reserve("good", "id", None)).record
    with server.talk() as client:
        client.set(NAME, "garbage")
        client.set("sessionguard:good", f"1 id {record.session_started_at} 1000")
    with pytest.raises(CorruptRecord):
        await store.touch([Touch("key", "id", 0), Touch("good", "id", 0)])
    found = await store.get("good")

    assert found is not None
    assert found.updated_at >= record.updated_at


async def test_rows_under_another_prefix_are_other_rows(store: RedisStore, server: RedisServer) -> None:
    """Applications, or guards, that share a database do not see each other."""
    with server.talk() as client:
        client.set("theirs", "x")
    other = open_store(f"{server.url}{PATIENT}&prefix=s*:")
    await store.reserve("key", "first", None)
    await other.reserve("key", "second", None)
    ours = [(key, row.session_id) async for key, row in store.scan()]
    others = [(key, row.session_id) async for key, row in other.scan()]
    await other.aclose()

    assert (ours, others) == ([("key", "first")], [("key", "second")])
