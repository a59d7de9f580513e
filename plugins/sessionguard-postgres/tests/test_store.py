"""Everything that is asked of any store, of this one."""

from __future__ import annotations

import pytest
from postgres_server import PostgresServer
from sessionguard_postgres import PostgresStore

from sessionguard.testing import AdoptionContract, FailureContract, LeaseContract, RaceContract, SessionStoreContract


class EmptyDatabase:
    """The fixtures of every class here."""

    @pytest.fixture
    def store_url(self, server: PostgresServer, database: str) -> str:
        return server.url(database, create_schema="on")

    @pytest.fixture
    def store(self, store_url: str, unhurried: None) -> PostgresStore:
        return PostgresStore(store_url)


class TestStore(EmptyDatabase, SessionStoreContract):
    """One call after the other, and many at once in one process."""


class TestAdoption(EmptyDatabase, AdoptionContract):
    """Rows that move in from another store."""


class TestLeases(EmptyDatabase, LeaseContract):
    """One owner at a time, in the order of arrival."""


class TestFailures(EmptyDatabase, FailureContract):
    """Calls that fail."""


class TestRaces(EmptyDatabase, RaceContract):
    """Many processes at once."""
