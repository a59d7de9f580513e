"""`sessionguard store copy` and `revive` as an operator meets them: words, exit codes, and what becomes of the rows."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from operators import command
from typer.testing import Result

from sessionguard import SessionRecord, SessionStore, hookimpl
from sessionguard import copying as copying_module
from sessionguard import plugins as plugins_module
from sessionguard.records import Retirement
from sessionguard.stores.disk.store import DiskStore
from sessionguard.stores.embedded import jobs
from sessionguard.stores.memory import MemoryStore
from sessionguard.stores.sqlite import SqliteStore

pytestmark = pytest.mark.once

COMMAND = Path(sys.executable).with_name("sessionguard")
KEYS = [f"default//agent:main:{number:02}" for number in range(12)]


class Place:
    """A disk store to move from and a sqlite store to move to."""

    def __init__(self, directory: Path) -> None:
        self.source, self.target = directory / "old place", directory / "new"
        self.source_url = f"disk://{str(self.source).replace(' ', '%20')}"
        self.target_url = f"sqlite://{self.target}"

    def copy(self, *options: str) -> Result:
        return command("store", "copy", self.source_url, self.target_url, *options)

    def report(self, *options: str) -> dict[str, Any]:
        result = self.copy("--json", *options)
        report: dict[str, Any] = json.loads(result.stdout)
        return {"code": result.exit_code, **report}

    def fill(self, *keys: str) -> None:
        asyncio.run(reserve(DiskStore(self.source), *keys))

    @property
    def source_rows(self) -> dict[str, SessionRecord]:
        return asyncio.run(rows(DiskStore(self.source)))

    @property
    def target_rows(self) -> dict[str, SessionRecord]:
        return asyncio.run(rows(SqliteStore(self.target)))

    @property
    def retirement(self) -> Retirement | None:
        return asyncio.run(retirement(DiskStore(self.source)))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path)
    place.fill(*KEYS[:3])
    return place


async def reserve(store: DiskStore | SqliteStore, *keys: str, prefix: str = "id") -> None:
    for key in keys:
        await store.reserve(key, f"{prefix}-{key[-2:]}", await store.get(key))
    await store.aclose()


async def rows(store: DiskStore | SqliteStore) -> dict[str, SessionRecord]:
    found = {key: row async for key, row in store.scan()}
    await store.aclose()
    return found


async def retirement(store: DiskStore) -> Retirement | None:
    try:
        return await store.retirement()
    finally:
        await store.aclose()


def test_a_move_says_what_it_did_and_what_to_do_next(place: Place) -> None:
    """The counts, the verification, and the variable to set."""
    result = place.copy()

    assert result.exit_code == 0
    assert result.stdout == (
        f"3 conversations in {place.source_url}: 3 copied, 0 brought up to date, 0 put over older ones.\n"
        f"3 of them verified in {place.target_url}.\n"
        f"The move is finished. Set SESSIONGUARD_STORE={place.target_url} and restart the workers;"
        " until then they answer 503.\n"
    )
    assert place.target_rows == place.source_rows
    assert place.retirement == Retirement(place.target_url, finished=True)


def test_a_move_that_was_made_is_not_made_again(place: Place) -> None:
    """And that is no error."""
    place.copy()
    again = place.copy()

    assert again.exit_code == 0
    assert again.stdout == f"{place.source_url} has moved to {place.target_url} before; nothing was left to do.\n"
    assert place.report()["status"] == "moved before"


def test_a_dry_run_writes_nothing(place: Place) -> None:
    """It counts what would be copied."""
    result = place.copy("--dry-run")

    assert result.exit_code == 0
    assert "3 copied" in result.stdout
    assert "This was a dry run: nothing was written." in result.stdout
    assert (place.target_rows, place.retirement) == ({}, None)


def test_a_mere_copy_leaves_the_source_in_use(place: Place) -> None:
    """`--no-retire` is for a source nobody uses any more, and for a copy that is just that."""
    result = place.copy("--no-retire")
    place.fill(KEYS[3])

    assert result.exit_code == 0
    assert f"{place.source_url} was not retired: what is written there from now on is not in" in result.stdout
    assert len(place.target_rows) == 3
    assert place.report("--no-retire") == {
        "code": 0,
        "source": place.source_url,
        "target": place.target_url,
        "status": "copied",
        "rows": 4,
        "verified": 4,
        "copied": 1,
        "refreshed": 0,
        "replaced": 0,
        "kept": [],
        "retired": False,
        "finished": False,
    }


def test_a_newer_row_in_the_target_is_a_finding(place: Place) -> None:
    """Nothing is retired until the operator says that it may stay."""
    asyncio.run(reserve(SqliteStore(place.target), KEYS[0], KEYS[1], prefix="theirs"))
    stopped = place.copy()
    served = place.retirement
    dry = place.report("--dry-run")
    gone_on = place.report("--keep-newer")

    assert stopped.exit_code == 1
    assert f"under another id, and were left alone: {KEYS[0]}, {KEYS[1]}. {place.source_url} was not" in stopped.stdout
    assert "run the command again with --keep-newer" in stopped.stdout
    assert served is None
    assert (dry["code"], dry["status"], dry["kept"]) == (1, "conflicts", KEYS[:2])
    assert (gone_on["code"], gone_on["status"], gone_on["rows"], gone_on["verified"]) == (0, "moved", 3, 1)
    assert [row.session_id for row in place.target_rows.values()] == ["theirs-00", "theirs-01", "id-02"]


def test_a_newer_row_that_turns_up_late_is_a_finding_of_an_unfinished_move(place: Place) -> None:
    """The text says how things stand; of many keys it shows ten."""
    place.fill(*KEYS[3:])
    asyncio.run(DiskStore(place.source).retire(place.target_url))
    asyncio.run(reserve(SqliteStore(place.target), *KEYS, prefix="theirs"))
    result = place.copy()

    assert result.exit_code == 1
    assert f"{KEYS[9]} and 2 more. {place.source_url} is retired, but the move is not finished" in result.stdout


def test_an_empty_source_is_a_finding(place: Place, tmp_path: Path) -> None:
    """It is more likely to be the wrong one."""
    empty = f"disk://{tmp_path / 'empty'}"
    result = command("store", "copy", empty, place.target_url)

    assert result.exit_code == 1
    assert f"{empty} holds no conversations, so it was not retired. Is it the right one?" in result.stdout


WRONG = {
    "one place": ("disk:///{}/a", "disk:///{}/a?synchronous=normal", "source and target are both disk://"),
    "a store of one process": ("disk:///{}/a", "memory:", "memory: lives and ends within one process"),
    "no URL": ("disk:///{}/a", "nonsense", "a store URL such as"),
    "a missing plugin": ("disk:///{}/a", "redis://host/0", "run: pip install sessionguard-redis"),
    "a target that cannot adopt": (
        "disk:///{}/a",
        "plain:",
        "plain://a%20plain%20place cannot take over conversations",
    ),
    "a source that cannot be retired": ("plain:", "disk:///{}/a", "stop them, and add --no-retire"),
}


class PlainStore(MemoryStore):
    """Rows of this process, passed off as those of a host."""

    coordination = "host"
    location = "a plain place"


class Plain:
    """Offers a store that keeps the contract and does no more."""

    @hookimpl
    def sessionguard_register_stores(self) -> Mapping[str, Any]:
        return {"plain": lambda url, settings: _without_extras(PlainStore())}


def _without_extras(store: SessionStore) -> SessionStore:
    verbs = {name: getattr(store, name) for name in ("get", "reserve", "touch", "forget", "scan", "ping", "aclose")}
    fields = {"coordination": store.coordination, "location": store.location}
    bound = {name: staticmethod(verb) for name, verb in verbs.items()}
    plain: SessionStore = type("Minimal", (SessionStore,), {**bound, **fields})()
    return plain


@pytest.fixture
def _plain_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plugin as if it were installed."""
    monkeypatch.setattr(plugins_module, "_installed", lambda: {"plain": None})
    monkeypatch.setattr(plugins_module, "_load", lambda entry: Plain)


@pytest.mark.usefixtures("_plain_plugin")
@pytest.mark.parametrize(("source", "target", "message"), WRONG.values(), ids=WRONG)
def test_stores_that_cannot_be_moved_between_are_a_wrong_call(
    tmp_path: Path, source: str, target: str, message: str
) -> None:
    """Said before anything is opened."""
    result = command("store", "copy", source.format(tmp_path), target.format(tmp_path))

    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("_plain_plugin")
def test_a_minimal_store_can_be_copied_from(place: Place) -> None:
    """Five verbs are enough for that."""
    result = command("store", "copy", "plain:", place.target_url, "--no-retire", "--json")

    assert (result.exit_code, json.loads(result.stdout)["status"]) == (1, "empty")


def test_a_source_that_went_elsewhere_is_a_wrong_call(place: Place, tmp_path: Path) -> None:
    """The error says where."""
    place.copy()
    result = command("store", "copy", place.source_url, f"disk://{tmp_path / 'third'}")

    assert result.exit_code == 2
    assert f"have moved to {place.target_url}" in result.stderr


def test_a_target_that_went_elsewhere_is_a_wrong_call(place: Place) -> None:
    """The error says where, and how to bring it back."""
    place.copy()
    result = command("store", "copy", place.target_url, place.source_url)

    assert result.exit_code == 2
    assert f"{place.source_url} was itself moved to {place.target_url}" in result.stderr
    assert f"sessionguard store revive {place.source_url}" in result.stderr


@pytest.mark.slow
def test_a_store_that_does_not_answer_is_tried_again_later(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """75 tells a script to come back."""
    monkeypatch.setattr(jobs, "JOB_SECONDS", 0.2)
    monkeypatch.setattr(copying_module, "PAUSE_SECONDS", 0.0)
    asyncio.run(reserve(SqliteStore(place.target), KEYS[5]))
    with contextlib.closing(sqlite3.connect(place.target / "sessions.db", isolation_level=None)) as intruder:
        intruder.execute("BEGIN IMMEDIATE")
        result = place.copy()

    assert result.exit_code == 75
    assert "The session store is busy; try again." in result.stderr
    assert place.retirement is None
    assert place.copy().exit_code == 0


def test_a_row_that_does_not_decode_is_a_finding(place: Place) -> None:
    """It is neither lost nor copied, and the source serves on."""
    with contextlib.closing(sqlite3.connect(place.source / "cache.db", isolation_level=None)) as other:
        other.execute("UPDATE Cache SET value = x'00' WHERE key = ?", (KEYS[1],))
    result = place.copy()

    assert result.exit_code == 1
    assert "it was left untouched" in result.stderr
    assert place.retirement is None


@pytest.mark.slow
def test_the_command_shows_its_progress_to_a_person_alone(place: Place) -> None:
    """A bar on the terminal; what goes into a pipe is the report and nothing else."""
    place.fill(*(f"default//agent:main:bulk-{number:04}" for number in range(250)))
    leader, follower = pty.openpty()
    run = [COMMAND, "store", "copy", place.source_url, place.target_url, "--json"]
    process = subprocess.Popen(
        run, stdout=subprocess.PIPE, stderr=follower, env={**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    )
    os.close(follower)
    shown = b""
    with contextlib.suppress(OSError):  # How the end of a terminal is told.
        while piece := os.read(leader, 4096):
            shown += piece
    os.close(leader)
    report, _ = process.communicate(timeout=60)
    silent = command("store", "copy", place.target_url, f"{place.source_url}-2")

    assert (process.returncode, json.loads(report)["verified"]) == (0, 253)
    assert b"pass 1" in shown
    assert b"253/253" in shown
    assert (silent.exit_code, silent.stderr) == (0, "")


def test_a_store_is_revived_when_the_operator_says_yes(place: Place) -> None:
    """He is told what that means first."""
    place.copy()
    refused = command("store", "revive", place.source_url, typed="n\n")
    still = place.retirement
    revived = command("store", "revive", place.source_url, typed="y\n")

    assert refused.exit_code == 1
    assert f"was retired in favour of {place.target_url}" in refused.stderr
    assert still == Retirement(place.target_url, finished=True)
    assert (revived.exit_code, place.retirement) == (0, None)
    assert f"{place.source_url} serves again." in revived.stdout


def test_a_script_is_told_in_json_whether_it_revived_a_store(place: Place) -> None:
    place.copy()
    revived, again = (command("store", "revive", place.source_url, "--yes", "--json") for _ in range(2))

    assert json.loads(revived.stdout) == {"store": place.source_url, "revived": True}
    assert json.loads(again.stdout) == {"store": place.source_url, "revived": False}


def test_a_script_revives_a_store_without_being_asked(place: Place) -> None:
    """And one that is not retired is left alone."""
    place.copy()
    revived = command("store", "revive", place.source_url, "--yes")
    again = command("store", "revive", place.source_url, "--yes")

    assert revived.stdout == f"{place.source_url} serves again.\n"
    assert again.stdout == f"{place.source_url} is not retired; nothing was done.\n"
    assert (revived.exit_code, again.exit_code) == (0, 0)


@pytest.mark.usefixtures("_plain_plugin")
def test_a_store_that_cannot_be_retired_cannot_be_revived() -> None:
    """There is nothing to take off."""
    result = command("store", "revive", "plain:")

    assert result.exit_code == 2
    assert "cannot be retired, so there is nothing to revive" in result.stderr


def test_a_move_can_be_taken_back(place: Place) -> None:
    """Revived and copied to, the old store has what was written in the new one."""
    place.copy()
    asyncio.run(reserve(SqliteStore(place.target), KEYS[0], KEYS[7], prefix="since"))
    command("store", "revive", place.source_url, "--yes")
    back = command("store", "copy", place.target_url, place.source_url)
    ids = {key: row.session_id for key, row in place.source_rows.items()}

    assert back.exit_code == 0
    assert ids == {KEYS[0]: "since-00", KEYS[1]: "id-01", KEYS[2]: "id-02", KEYS[7]: "since-07"}
