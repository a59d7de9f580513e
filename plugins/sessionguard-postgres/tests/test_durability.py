"""What is acknowledged stays, whatever becomes of the server; and each reservation sees to that itself."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from postgres_server import PostgresServer, running
from sessionguard_postgres import PostgresStore

from sessionguard import SessionGuard, SessionRecord, StoreUnavailable
from sessionguard.testing import AppProbe, Exchange

Rows = Callable[[str], list[tuple[object, ...]]]

pytestmark = [pytest.mark.server, pytest.mark.slow]

WRITERS = 8
ACKNOWLEDGED = 300


@pytest.fixture
def own_server(programs: Path) -> Iterator[PostgresServer]:
    """One that may be killed."""
    with running(programs) as server:
        yield server


async def _write_until_it_dies(
    store: PostgresStore, writer: int, acknowledged: dict[str, str], dies: asyncio.Event
) -> None:
    number = 0
    while True:
        key = f"{writer}-{number}"
        try:
            reservation = await store.reserve(key, f"id-of-{key}", None)
        except StoreUnavailable:
            if dies.is_set():
                return
            continue
        acknowledged[key] = reservation.record.session_id
        number += 1


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGQUIT], ids=["killed", "crashed"])
def test_an_acknowledged_row_outlives_its_server(own_server: PostgresServer, number: signal.Signals) -> None:
    """Clients write as fast as they can when it happens; after the restart the same store finds every row."""
    acknowledged: dict[str, str] = {}
    store = PostgresStore(own_server.url("postgres", create_schema="on"))

    async def scenario() -> dict[str, str]:
        dies = asyncio.Event()
        writers = [asyncio.ensure_future(_write_until_it_dies(store, n, acknowledged, dies)) for n in range(WRITERS)]
        while len(acknowledged) < ACKNOWLEDGED:
            await asyncio.sleep(0.01)
        dies.set()
        await asyncio.to_thread(own_server.stop, number)
        await asyncio.gather(*writers)
        await asyncio.to_thread(own_server.start)
        found = {key: row.session_id async for key, row in store.scan()}
        await store.aclose()
        return found

    found = asyncio.run(scenario())

    assert acknowledged.items() <= found.items()
    assert all(session_id == f"id-of-{key}" for key, session_id in found.items())


def test_a_guard_goes_on_after_its_server_was_restarted(own_server: PostgresServer) -> None:
    """The conversation keeps its id; meanwhile it is 503; the guard is not restarted."""
    store = own_server.url("postgres", create_schema="on")
    guard = SessionGuard(AppProbe(), store=store, expose_session_id=True)
    headers = [(b"x-openclaw-session-key", b"key")]

    async def scenario() -> list[tuple[int, str | None]]:
        told = []
        for change in (lambda: None, lambda: own_server.stop(signal.SIGQUIT), own_server.start):
            await asyncio.to_thread(change)
            exchange = await Exchange(guard, headers).run()
            told.append((exchange.status, exchange.headers.get("x-openclaw-session-id")))
        return told

    first, during, after = asyncio.run(scenario())

    assert (first[0], during, after) == (200, (503, None), first)


def test_a_connection_that_died_while_it_rested_costs_no_request(own_server: PostgresServer) -> None:
    """A restart between two requests is noticed, and nobody is told."""
    store = PostgresStore(own_server.url("postgres", create_schema="on"))

    async def scenario() -> None:
        first = await store.reserve("key", "first", None)
        await asyncio.to_thread(own_server.stop)
        await asyncio.to_thread(own_server.start)

        assert await store.get("key") == first.record
        await store.aclose()

    asyncio.run(scenario())


WITNESS = """
create table witnessed (level text);
create function witness() returns trigger language plpgsql as
    $$ begin insert into witnessed values (current_setting('synchronous_commit')); return null; end $$;
create trigger witness after insert or update on sessionguard_sessions for each row execute function witness()
"""


@pytest.mark.parametrize(
    ("of_the_database", "options", "used"),
    [
        ("off", {}, "on"),
        ("local", {}, "on"),
        ("remote_apply", {}, "remote_apply"),
        ("off", {"pooler": "on"}, "on"),
        ("on", {"synchronous_commit": "off"}, "off"),
        ("off", {"synchronous_commit": "remote_write"}, "remote_write"),
    ],
)
async def test_what_begins_a_conversation_is_as_durable_as_the_url_says(
    server: PostgresServer, database: str, rows: Rows, of_the_database: str, options: dict[str, str], used: str
) -> None:
    """Reserved or moved in; at least `on`, whatever database and role are set to, unless the URL asks for another."""
    await PostgresStore(server.url(database)).prepare()
    for statement in WITNESS.split(";\n"):
        rows(statement)
    rows(f"alter database {database} set synchronous_commit = {of_the_database}")
    store = PostgresStore(server.url(database, **options))
    first = await store.reserve("key", "first", None)
    await store.reserve("key", "second", first.record)
    await store.adopt("moved", SessionRecord("id", 1, 1), None)
    await store.adopt("moved", SessionRecord("id", 1, 2), None)
    await store.aclose()

    assert rows("select level from witnessed") == [(used,)] * 4
