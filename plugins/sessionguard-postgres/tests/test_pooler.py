"""What the store says with `?pooler=on`: nothing that a pooler in transaction mode could not pass to any connection."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from live import free_port
from postgres_server import PostgresServer, identity
from sessionguard_postgres import PostgresStore

from sessionguard import ConfigurationError, Touch

pytestmark = pytest.mark.server

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


@pytest.fixture
def pgbouncer(server: PostgresServer, database: str) -> Iterator[str]:
    """The URL of the database behind a real pgbouncer in transaction mode, with two connections for all."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        missing = pytest.fail if os.environ.get("CI") else pytest.skip
        missing("pgbouncer is not on PATH, and no wheel brings it; Debian's package does")
    port = free_port()
    configuration = server.directory / f"pgbouncer-{port}.ini"
    configuration.write_text(
        f"[databases]\n* = host=127.0.0.1 port={server.port}\n[pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port={port}\n"
        "unix_socket_dir=\nauth_type=any\npool_mode=transaction\ndefault_pool_size=2\n"
        f"[databases]\n{database} = host=127.0.0.1 port={server.port} user=sessionguard\n"
    )
    with subprocess.Popen([program, "-q", configuration], **identity()) as process:
        while process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
                break
        yield server.url(database, port=port)
        process.terminate()


@pytest.mark.slow
def test_the_contract_holds_behind_pgbouncer(pgbouncer: str, tmp_path: Path) -> None:
    """All of it, on connections that belong to others between two statements."""
    url = f"{pgbouncer}?pooler=on&create_schema=on&pool_size=8"
    command = [sys.executable, "-m", "pytest", "-q", "-k", "TestStore", f"--sessionguard-store={url}"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)

    assert run.returncode == 0, run.stdout
    assert " passed" in run.stdout


async def test_a_pooler_without_the_option_is_refused_with_its_cure(pgbouncer: str) -> None:
    """It knows nothing of our session's settings."""
    store = PostgresStore(pgbouncer)
    with pytest.raises(ConfigurationError, match=r"add \?pooler=on to the URL"):
        await store.ping()
    await store.aclose()
