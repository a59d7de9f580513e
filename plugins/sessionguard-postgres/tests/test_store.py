"""Everything that is asked of any store, of this one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres_server import PostgresServer
from sessionguard_postgres import PostgresStore

from pytest_sessionguard import Tally
from sessionguard.testing import AdoptionContract, FailureContract, LeaseContract, RaceContract, SessionStoreContract

pytestmark = pytest.mark.server

DATABASE = "contract"


@pytest.fixture(scope="module")
def tables(server: PostgresServer) -> Iterator[str]:
    """The name of a database with our tables."""
    server.query(f"create database {DATABASE}")
    asyncio.run(PostgresStore(server.url(DATABASE)).prepare())
    yield DATABASE
    server.query(f"drop database {DATABASE} with (force)")


class EmptyTables:
    """The fixtures of every class here."""

    @pytest.fixture
    def store_url(self, server: PostgresServer, tables: str) -> str:
        server.query("truncate sessionguard_sessions, sessionguard_leases", database=tables)
        return server.url(tables)

    @pytest.fixture
    def store(self, store_url: str, unhurried: None) -> PostgresStore:
        return PostgresStore(store_url)


@pytest.mark.lowest
class TestStore(EmptyTables, SessionStoreContract):
    """One call after the other, and many at once in one process."""


class TestAdoption(EmptyTables, AdoptionContract):
    """Rows that move in from another store."""


@pytest.mark.lowest
class TestLeases(EmptyTables, LeaseContract):
    """One owner at a time, in the order of arrival."""


@pytest.mark.slow
class TestFailures(EmptyTables, FailureContract):
    """Calls that fail."""


@pytest.mark.slow
class TestRaces(EmptyTables, RaceContract):
    """Many processes at once; on a wire that holds they are those of `test_hosts.py`."""

    @pytest.mark.parametrize("faults", [0.03], ids=["a wire that loses"])
    def test_one_order_of_operations_explains_every_answer(
        self, store_url: str, tmp_path: Path, tally: Tally, faults: float
    ) -> None:
        super().test_one_order_of_operations_explains_every_answer(store_url, tmp_path, tally, faults)
