"""The table of promises in the README is true: every cell is shown by a test, or says that its vendor documents it.

Most are shown where their subject is tested; here is the table of those tests, and what nobody else shows.
"""

from __future__ import annotations

import ast
from pathlib import Path

import httpx
import pytest
from live import uvicorn
from redis_readme import README
from redis_servers import PATIENT, RedisServer, Start, open_store

TESTS = Path(__file__).parent
VENDOR = "(documented by Redis)"
HERE = "test_promises.py::"

PROMISES: dict[str, dict[str, list[str]]] = {
    "`kill -9` of a worker": {
        "every id that was handed out": [
            "test_contract.py::test_whoever_names_the_url_gets_the_whole_suite",
            HERE + "test_a_killed_worker_loses_signs_of_life_and_no_id",
        ],
        "signs of life of the last `SESSIONGUARD_TOUCH_INTERVAL`": [
            HERE + "test_a_killed_worker_loses_signs_of_life_and_no_id"
        ],
    },
    "restart of the server": {
        "every id, with `appendonly yes`": [
            "test_outages.py::test_an_id_survives_kill_9_of_a_server_that_logs_its_writes"
        ],
        "503 while it is away": [
            "test_outages.py::test_an_id_survives_kill_9_of_a_server_that_logs_its_writes",
            "test_outages.py::test_a_server_that_falls_silent_is_503_in_time",
        ],
        "without `appendonly`, what is younger than the last snapshot": [
            "test_outages.py::test_without_a_log_a_restart_loses_conversations",
            "test_inspection.py::test_a_server_that_does_not_log_its_writes_is_reported",
        ],
    },
    "power loss": {},
    "failover": {
        "what the new primary had received": [
            "test_outages.py::test_a_failover_loses_what_had_not_reached_the_replica"
        ],
        "new conversations, 503, while fewer replicas are connected than `min-replicas-to-write` (Redis 6.2.7)": [
            "test_refusals.py::test_a_primary_without_enough_replicas_reserves_nothing_and_reads_on",
            "test_inspection.py::test_replicas_and_how_many_a_write_needs_are_reported",
            "test_inspection.py::test_a_server_that_lets_scripts_pass_without_replicas_is_reported",
        ],
        "what was acknowledged and had not been received": [
            "test_outages.py::test_a_failover_loses_what_had_not_reached_the_replica"
        ],
    },
    "eviction": {
        "every row, with `noeviction`; a full server serves established conversations": [
            "test_refusals.py::test_a_full_server_refuses_new_conversations_and_keeps_the_others",
            "test_retention.py::test_without_a_retention_no_row_expires",
        ],
        "policies that evict; new conversations, 503, when the server is full": [
            "test_inspection.py::test_a_server_that_evicts_is_refused_unless_the_url_allows_it",
            "test_inspection.py::test_a_policy_that_changes_under_a_running_guard_is_noticed",
            "test_refusals.py::test_a_full_server_refuses_new_conversations_and_keeps_the_others",
        ],
        "rows, with `eviction=allow`": [HERE + "test_a_server_that_may_evict_does"],
    },
    "several hosts": {
        "one id per key over all hosts and workers": [
            "test_hosts.py::test_of_two_hosts_exactly_one_opens_each_conversation"
        ],
        "a replica": [
            "test_inspection.py::test_a_replica_is_refused",
            "test_inspection.py::test_a_primary_that_becomes_a_replica_is_noticed",
        ],
    },
    "a cluster that moves keys, or replaces a server": {
        "one id per key, wherever it is; rows that the new server had received": [
            "test_cluster.py::test_every_server_has_rows_of_its_own_and_nobody_notices",
            "test_cluster.py::test_a_slot_that_is_being_moved_is_used_on_both_sides",
            "test_cluster.py::test_a_primary_that_dies_is_replaced_by_its_replica",
        ],
        "503 until a server is replaced": ["test_cluster.py::test_a_primary_that_dies_is_replaced_by_its_replica"],
        "what was acknowledged and had not been received": [
            "test_outages.py::test_a_failover_loses_what_had_not_reached_the_replica"
        ],
    },
    "fork, several event loops": {
        "one id per key; each has connections of its own": [
            "test_loops.py::test_parent_and_child_of_a_fork_agree_on_every_id",
            "test_loops.py::test_loops_at_the_same_time_have_connections_of_their_own",
            "test_loops.py::test_a_loop_that_ends_closes_its_connections",
        ],
    },
    "a wire that drops, delays, cuts or resets": {
        "one id per key, at every step": [
            "test_faults.py::test_whatever_happens_on_the_wire_a_conversation_has_one_id",
            "test_faults.py::test_a_server_that_has_forgotten_the_scripts_is_one_step_more",
        ],
        "503 within the guard's `reserve_timeout` while it lasts": [
            "test_faults.py::test_whatever_happens_on_the_wire_a_conversation_has_one_id"
        ],
    },
}
"""Every row of the table, and for each of its cells that says something of ours the tests that show it."""


def table() -> dict[str, list[str]]:
    """What the cells of the table say, by the row's first cell; without those that are the vendor's word."""
    lines = README[README.index("| | holds |") :].partition("\n\n")[0].splitlines()[2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {first: [cell for cell in cells if cell and not cell.endswith(VENDOR)] for first, *cells in rows}


@pytest.mark.once
def test_every_cell_of_the_table_is_registered() -> None:
    """What the README promises and what is shown here are the same words."""
    assert {row: list(cells) for row, cells in PROMISES.items()} == table(), (
        "change the README back, or write a test that shows what a cell now says and register it in PROMISES"
    )


@pytest.mark.once
def test_every_promise_names_tests_that_exist() -> None:
    """A test that is renamed or removed takes its promise with it; a cell has at least one."""
    cells = {cell: nodes for row in PROMISES.values() for cell, nodes in row.items()}
    named = [node.split("::") for nodes in cells.values() for node in nodes]
    missing = [f"{file}::{test}" for file, test in named if test not in defined_in(file)]

    assert (missing, [cell for cell, nodes in cells.items() if not nodes]) == ([], [])


def defined_in(file: str) -> set[str]:
    tree = ast.parse((TESTS / file).read_text())
    return {node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}


@pytest.mark.server
@pytest.mark.slow
def test_a_killed_worker_loses_signs_of_life_and_no_id(server: RedisServer, tmp_path: Path) -> None:
    """SIGKILL between noting a touch and writing it leaves the row as it was reserved; the next worker goes on."""
    settings = {"SESSIONGUARD_APP": "redis_app:app", "SESSIONGUARD_STORE": server.url}
    rows, ids = [], []
    for _ in range(2):
        with uvicorn("sessionguard.serving:create_app", tmp_path, "--factory", app_dir=TESTS, env=settings) as worker:
            for _ in range(2):
                ids.append(httpx.get(worker.url, headers={"x-openclaw-session-key": "key"}).json()[0])
                with server.talk() as client:
                    rows.append(client.get("sessionguard:default//agent:main:key"))
            worker.stop(9)

    assert len({*ids}) == 1
    assert len({*rows}) == 1


@pytest.mark.server
@pytest.mark.slow
async def test_a_server_that_may_evict_does(start: Start) -> None:
    """Conversations that are alive go when memory is short, and begin anew."""
    server = start("--maxmemory-policy", "allkeys-random")
    store = open_store(f"{server.url}{PATIENT}&eviction=allow")
    with server.talk() as client:
        client.config_set("maxmemory", client.info()["used_memory"] + 300_000)
    for number in range(5_000):
        await store.reserve(f"key-{number}", f"id-{number}", None)
    kept = [key async for key, _ in store.scan()]
    await store.aclose()

    assert 0 < len(kept) < 5_000
