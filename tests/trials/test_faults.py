"""The place an embedded store lives in is at fault: certain answers go on, others are refused in time, all recovers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ordeal
import pytest
import witness

NOBODY: frozenset[str] = frozenset()
WRITERS = frozenset({"new", "stale"})
EVERYBODY = frozenset(ordeal.KEYS)
LOST = ("files deleted", "directory deleted", "directory is a file")

# The fault, whether the store was open when it began, and who is refused while it lasts. A file system with an open
# store cannot be remounted read-only, and one process can only keep a database that no other has open.
FAULTS = [
    ("locked", "open", WRITERS),
    ("locked", "unopened", EVERYBODY),
    ("locked exclusively", "open", WRITERS),
    ("locked exclusively", "unopened", EVERYBODY),
    ("kept by one process", "unopened", EVERYBODY),
    ("full", "open", WRITERS),
    ("full", "unopened", EVERYBODY),
    ("read-only", "unopened", EVERYBODY),
    ("out of descriptors", "open", NOBODY),
    ("out of descriptors", "unopened", EVERYBODY),
    ("files deleted", "open", NOBODY),
    ("directory deleted", "open", NOBODY),
    ("directory is a file", "open", EVERYBODY),
    ("directory is a file", "unopened", EVERYBODY),
]
CELLS = [(kind, *fault) for kind in ordeal.STORES for fault in FAULTS]


@dataclass
class Ordeal:
    """A fault, who is to be refused, and what happened: one dictionary per request, see `ordeal.ask`."""

    fault: str
    refused: frozenset[str]
    seeded: dict[str, str]
    during: list[dict[str, Any]]
    delay: float
    after: list[dict[str, Any]]
    rows: list[list[str]]

    @property
    def ids(self) -> dict[str, str]:
        """The id each conversation has when all is over."""
        return {answer["key"]: answer["id"] for answer in self.after}


def report_of(script: Path, *arguments: str, within: Sequence[str] = ()) -> Any:
    """Run a script of this directory and return what it reports."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SESSIONGUARD_")}
    command = [*within, sys.executable, str(script), *arguments]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=environment)
    assert run.returncode == 0, run.stderr
    assert "ResourceWarning" not in run.stderr
    return json.loads(run.stdout)


@pytest.fixture(scope="module")
def own_mounts(tmp_path_factory: pytest.TempPathFactory) -> Sequence[str]:
    """The command that gives a process mounts of its own, which end with it whatever happens."""
    reason = "there is no unshare"
    place = tmp_path_factory.mktemp("place")
    for options in (["--mount"], ["--map-root-user", "--mount"]) if shutil.which("unshare") else ():
        command = ["unshare", *options]
        trial = subprocess.run([*command, "mount", "-t", "tmpfs", "tmpfs", place], capture_output=True, text=True)
        if trial.returncode == 0:
            return command
        reason = trial.stderr
    give_up = pytest.fail if os.environ.get("CI") else pytest.skip
    return give_up(f"no tmpfs can be mounted here: {reason}")


@pytest.fixture(scope="module", params=CELLS, ids=lambda cell: ", ".join(cell[:3]))
def endured(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Ordeal:
    kind, fault, state, refused = request.param
    within = request.getfixturevalue("own_mounts") if fault in ordeal.MOUNTED else ()
    place = tmp_path_factory.mktemp("place")
    return Ordeal(fault, refused, **report_of(Path(ordeal.__file__), kind, fault, state, str(place), within=within))


def test_those_who_need_what_is_broken_are_refused_and_nobody_else(endured: Ordeal) -> None:
    """A refusal is a 503 with its code; what the store can still tell for certain is told."""
    expected = {
        key: (503, "session_store_unavailable", True) if key in endured.refused else (200, None, False)
        for key in ordeal.KEYS
    }
    answers = [(each["key"], (each["status"], each["code"], each["id"] is None)) for each in endured.during]

    assert answers == [(key, expected[key]) for key in ordeal.KEYS for _ in range(ordeal.CLIENTS)]


def test_no_request_outlives_its_deadline(endured: Ordeal) -> None:
    """Two seconds by the settings, and as much again for a slow machine."""
    assert max(answer["seconds"] for answer in (*endured.during, *endured.after)) < 4


def test_unrelated_work_is_not_held_up(endured: Ordeal) -> None:
    """Neither the event loop nor the default executor waits for a store."""
    assert endured.delay < 0.25


def test_afterwards_every_conversation_has_one_id_and_one_row(endured: Ordeal) -> None:
    """It is the one all were told, during the fault and after it, and the one that is on the disk."""
    told = {(answer["key"], answer["id"]) for answer in (*endured.during, *endured.after) if answer["id"] is not None}

    assert [answer["status"] for answer in endured.after] == [200] * len(endured.after)
    assert told == set(endured.ids.items())
    assert endured.rows == [[f"{ordeal.ROW}{key}", endured.ids[key]] for key in sorted(ordeal.KEYS)]


def test_a_conversation_keeps_its_id_unless_it_was_stale_or_its_file_is_gone(endured: Ordeal) -> None:
    """A fault ends no conversation that is still on the disk, and keeps none alive that had ended."""
    kept = {key for key, session_id in endured.seeded.items() if endured.ids[key] == session_id}

    assert kept == (set() if endured.fault in LOST else {"established"})


@pytest.fixture(scope="module", params=ordeal.STORES)
def witnessed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    place = tmp_path_factory.mktemp("place")
    report: dict[str, Any] = report_of(Path(witness.__file__), request.param, str(place))
    return report


def test_only_the_store_thread_touches_files_and_databases(witnessed: dict[str, Any]) -> None:
    """While new, stale, established and refused conversations are served and signs of life are written."""
    assert witnessed["statuses"] == [200, 200, 200, 400, 503]
    assert witnessed["callers"] == ["sessionguard-store"]
    assert witnessed["calls of the loop"] == []


def test_the_default_executor_is_never_used(witnessed: dict[str, Any]) -> None:
    """It belongs to the application."""
    assert witnessed["default executor"] is False
