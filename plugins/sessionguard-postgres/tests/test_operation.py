"""The operator's commands on a real server: those of every store, and the doctor's view of this one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from operation import diagnose, left_by_the_doctor, operate
from postgres_server import PostgresServer, running
from sessionguard_postgres import PostgresStore

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.once]


@pytest.fixture
def url(server: PostgresServer, database: str) -> str:
    """That of an empty database with our tables in it."""
    asyncio.run(PostgresStore(server.url(database)).prepare())
    return server.url(database)


def test_an_operator_gets_through_the_day(url: str, tmp_path: Path) -> None:
    """Every command, as processes of their own, one after the other."""
    operate(url, tmp_path)


def test_the_doctor_finds_a_server_well(url: str) -> None:
    """It says so of each thing that matters, races on it, and leaves nothing behind."""
    code, verdicts, said = diagnose(url)

    assert code == 0, said
    assert {verdicts[subject] for subject in ("store", "recovery", "fsync", "durability", "clock", "race")} == {"green"}
    assert "480 calls for 40 conversations: one id each" in said
    assert left_by_the_doctor(url) == ""


def test_the_doctor_finds_a_server_that_may_lose_conversations(programs: Path) -> None:
    """Yellow, with a cure."""
    with running(programs, {"fsync": "off"}) as careless:
        code, verdicts, said = diagnose(
            careless.url("postgres", create_schema="on", synchronous_commit="off"), "--strict"
        )

    assert (code, verdicts["fsync"], verdicts["durability"]) == (1, "yellow", "yellow")
    assert "set fsync = on" in said


def test_the_doctor_finds_a_database_without_tables(server: PostgresServer, database: str) -> None:
    """Red, with the command that makes them."""
    code, verdicts, said = diagnose(server.url(database))

    assert (code, verdicts["store"]) == (1, "red")
    assert "sessionguard store init" in said


def test_the_doctor_says_to_come_back_when_the_server_is_down(programs: Path) -> None:
    """With the exit code for that."""
    with running(programs) as server:
        url = server.url("postgres")
    code, verdicts, _ = diagnose(url)

    assert (code, verdicts["store"]) == (75, "red")
