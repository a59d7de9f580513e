"""What the store says with `?pooler=on`: nothing that a pooler in transaction mode could not pass to any connection."""

from __future__ import annotations

import pytest
import pytest_asyncio
from postgres_server import PostgresServer
from sessionguard_postgres import PostgresStore

from sessionguard import Touch

PREPARED = "select name, statement from pg_prepared_statements where statement not like '%pg_prepared_statements%'"
SETTINGS = "select name from pg_settings where source = 'client' order by name"


@pytest_asyncio.fixture
async def prepared(server: PostgresServer, database: str) -> str:
    await PostgresStore(server.url(database)).prepare()
    return server.url(database)


async def every_verb(store: PostgresStore) -> None:
    record = (await store.reserve("key", "first", None)).record
    await store.reserve("key", "second", record)
    await store.get("key")
    await store.touch([Touch("key", "second", 0)])
    assert [key async for key, _ in store.scan()] == ["key"]
    await store.forget("key", "second")
    await store.ping()


async def asked(store: PostgresStore, query: str) -> list[str]:
    rows = await store._pools.here().submit(lambda connection: connection.fetch(query))
    return [row[0] for row in rows]


@pytest.mark.parametrize(("option", "named"), [("?pooler=on", False), ("", True)])
async def test_statements_have_no_names_behind_a_pooler(prepared: str, option: str, named: bool) -> None:
    """A name is known to one connection alone; without a pooler every verb has been prepared under one."""
    store = PostgresStore(f"{prepared}{option}&pool_size=1" if option else f"{prepared}?pool_size=1")
    await every_verb(store)
    names = await asked(store, PREPARED)
    await store.aclose()

    assert (len(names) >= 6) if named else (names == [])


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("?pooler=on", {"application_name", "client_encoding"}),
        (
            "?pooler=off",
            {"application_name", "client_encoding", "default_transaction_isolation", "statement_timeout"},
        ),
    ],
)
async def test_a_session_has_no_settings_of_its_own_behind_a_pooler(
    prepared: str, option: str, expected: set[str]
) -> None:
    """Poolers refuse the startup parameters they do not know, and could not keep settings from others."""
    store = PostgresStore(f"{prepared}{option}&pool_size=1")
    await every_verb(store)
    settings = await asked(store, SETTINGS)
    await store.aclose()

    assert {*settings} == expected
