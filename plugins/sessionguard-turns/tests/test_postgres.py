"""Turns on a Postgres server."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from postgres_server import NoServer, PostgresServer, find_programs, running
from turns_outages import OutageContract


class TestPostgres(OutageContract):
    """Leases as rows, and NOTIFY that calls who is next."""

    @pytest.fixture
    def database(self) -> Iterator[PostgresServer]:
        try:
            programs = find_programs()
        except NoServer as error:
            (pytest.fail if os.environ.get("CI") else pytest.skip)(str(error))
        with running(programs) as server:
            yield server

    @pytest.fixture
    def store_url(self, database: PostgresServer) -> str:
        return database.url("postgres", create_schema="on")

    @pytest.fixture
    def deaf_url(self, database: PostgresServer) -> str:
        return database.url("postgres", create_schema="on", pooler="on")
