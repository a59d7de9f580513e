"""Turns on a Postgres server."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from postgres_server import NoServer, PostgresServer, find_programs, running
from turns_outages import OutageContract

pytestmark = [pytest.mark.server, pytest.mark.slow]


class TestPostgres(OutageContract):
    """Leases as rows, and NOTIFY that calls who is next."""

    @pytest.fixture(scope="class")
    @classmethod
    def database(cls) -> Iterator[PostgresServer]:
        try:
            programs = find_programs()
        except NoServer as error:
            (pytest.fail if os.environ.get("CI") else pytest.skip)(str(error))
        with running(programs) as server:
            yield server

    @pytest.fixture(scope="class")
    @classmethod
    def store_url(cls, database: PostgresServer) -> str:
        return database.url("postgres", create_schema="on")

    @pytest.fixture
    def deaf_url(self, database: PostgresServer) -> str:
        return database.url("postgres", create_schema="on", pooler="on")
