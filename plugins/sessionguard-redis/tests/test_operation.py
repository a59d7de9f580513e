"""The doctor's view of real servers; the commands for all stores are typed on the disk and on Postgres."""

from __future__ import annotations

import pytest
from operation import diagnose, left_by_the_doctor
from redis_servers import RedisServer, Start

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.once]


def test_the_doctor_finds_a_server_well(server: RedisServer) -> None:
    """It says so of each thing that matters, races on it, and leaves nothing behind."""
    code, verdicts, said = diagnose(server.url)

    assert code == 0, said
    assert {verdicts[subject] for subject in ("store", "eviction", "persistence", "replicas", "clock", "race")} == {
        "green"
    }
    assert "480 calls for 40 conversations: one id each" in said
    assert left_by_the_doctor(server.url) == ""


def test_the_doctor_finds_a_server_that_may_lose_conversations(start: Start) -> None:
    """Yellow, with a cure."""
    server = start("--appendonly", "no", "--maxmemory-policy", "allkeys-lru")
    code, verdicts, said = diagnose(f"{server.url}?eviction=allow", "--strict")

    assert (code, verdicts["eviction"], verdicts["persistence"]) == (1, "yellow", "yellow")
    assert "set appendonly yes" in said


def test_the_doctor_finds_a_server_that_must_not_be_used(start: Start) -> None:
    """Red, before anything is written."""
    server = start("--maxmemory-policy", "allkeys-lru")
    code, verdicts, said = diagnose(server.url)

    assert (code, verdicts["store"]) == (1, "red")
    assert "maxmemory-policy is allkeys-lru" in said


def test_the_doctor_says_to_come_back_when_the_server_is_down(start: Start) -> None:
    """With the exit code for that."""
    server = start()
    server.stop()
    code, verdicts, _ = diagnose(server.url)

    assert (code, verdicts["store"]) == (75, "red")
