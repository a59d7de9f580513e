"""The README's table of promises is true: every cell names tests that exist, or says whose word it is.

What nobody else shows is shown here.
"""

from __future__ import annotations

import ast
import asyncio
import signal
from pathlib import Path

import pytest
from postgres_server import PostgresServer, running
from sessionguard_postgres import PostgresStore

TESTS = Path(__file__).parent
README = TESTS.parent / "README.md"
HEADING = "| | holds | refuses | can lose |"

DOCUMENTED = "documented by Postgres"
"""A cell that says this is the vendor's word, and not tried here."""

PROMISES = {
    "`kill -9` of a worker": [
        "test_store.py::TestRaces",
        "test_connections.py::test_a_caller_who_leaves_does_not_take_his_reservation_along",
        "test_connections.py::test_a_storm_of_cancellations_confuses_no_connection",
    ],
    "`kill -9` of the server": [
        "test_durability.py::test_an_acknowledged_row_outlives_its_server",
        "test_durability.py::test_a_guard_goes_on_after_its_server_was_restarted",
    ],
    "restart of the server": [
        "test_durability.py::test_a_guard_goes_on_after_its_server_was_restarted",
        "test_durability.py::test_a_connection_that_died_while_it_rested_costs_no_request",
    ],
    "power loss": [
        "test_durability.py::test_what_begins_a_conversation_is_as_durable_as_the_url_says",
        "test_opening.py::test_a_server_that_can_lose_what_it_acknowledged_is_warned_about",
    ],
    "failover": [
        "test_opening.py::test_a_standby_is_refused_until_it_is_promoted",
        "test_opening.py::test_a_server_that_becomes_a_standby_is_not_believed",
        "test_promises.py::test_a_promoted_standby_that_was_behind_has_lost_what_it_had_not_heard",
    ],
    "a network that fails": [
        "test_faults.py::test_a_failing_wire_gives_nobody_a_second_id",
        "test_connections.py::test_an_exhausted_pool_is_503_in_time_and_recovers",
    ],
    "eviction": [
        "test_rows.py::test_rows_beyond_their_retention_are_removed_and_no_others",
        "test_rows.py::test_a_row_that_is_touched_in_time_is_never_removed",
    ],
    "several hosts": ["test_hosts.py::test_two_hosts_give_every_key_one_id"],
    "fork, preload": [
        "test_fork.py::test_parent_and_child_agree_on_every_id",
        "test_fork.py::test_a_guard_that_was_used_before_a_fork_serves_on_in_every_child",
    ],
    "wrong or empty database": [
        "test_opening.py::test_a_database_without_our_tables_is_refused_with_its_cure",
        "test_opening.py::test_tables_of_another_version_are_refused",
        "test_opening.py::test_tables_that_are_dropped_under_a_guard_are_503_and_never_a_private_id",
        "test_rows.py::test_a_row_that_is_not_ours_is_reported_and_left_alone",
    ],
}
"""Every row of the table, and the tests that show what its cells say."""


def table() -> dict[str, list[str]]:
    """The cells of the table, by the row's first cell."""
    lines = README.read_text().splitlines()
    behind = lines[lines.index(HEADING) + 2 :]
    rows = [line.strip("|").split("|") for line in behind[: behind.index("")]]
    return {first.strip(): [cell.strip() for cell in cells] for first, *cells in rows}


def defined_in(file: str) -> set[str]:
    tree = ast.parse((TESTS / file).read_text())
    return {node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))}


@pytest.mark.once
def test_every_row_of_the_table_is_registered() -> None:
    """A row that is added to the page, or taken out, is added here or taken out."""
    assert list(table()) == list(PROMISES)


@pytest.mark.once
def test_every_promise_names_tests_that_exist() -> None:
    """A test that is renamed or removed takes its promise with it."""
    named = [node.split("::") for nodes in PROMISES.values() for node in nodes]
    missing = [f"{file}::{test}" for file, test in named if test not in defined_in(file)]

    assert missing == []
    assert [row for row, cells in table().items() if not any(cells)] == []


@pytest.mark.once
def test_what_is_not_tried_here_is_said_to_be_the_vendors_word() -> None:
    """No power was cut, and no synchronous standby promoted."""
    said = {row for row, cells in table().items() if any(DOCUMENTED in cell for cell in cells)}

    assert said == {"power loss", "failover"}


@pytest.mark.server
@pytest.mark.slow
def test_a_promoted_standby_that_was_behind_has_lost_what_it_had_not_heard(programs: Path) -> None:
    """The one loss there is: after an asynchronous failover a conversation may be opened a second time."""
    with running(programs) as primary:
        asyncio.run(PostgresStore(primary.url("postgres")).prepare())
        assert reserved(primary, "heard", "first") == "first"
        primary.stop()
        standby = PostgresServer(programs)
        try:
            standby.copy_from(primary)
            (standby.data / "standby.signal").touch()
            primary.start()
            assert reserved(primary, "unheard", "first") == "first"
            primary.stop(signal.SIGKILL)
            standby.start()
            standby.query("select pg_promote()")

            assert reserved(standby, "heard", "second") == "first"
            assert reserved(standby, "unheard", "second") == "second"
        finally:
            standby.remove()


def reserved(server: PostgresServer, key: str, candidate: str) -> str:
    """The id that stands after an attempt to give the key this one."""

    async def reserve() -> str:
        store = PostgresStore(server.url("postgres"))
        try:
            return (await store.reserve(key, candidate, None)).record.session_id
        finally:
            await store.aclose()

    return asyncio.run(reserve())
