"""`sessionguard sessions ...` as an operator meets it: words, exit codes, and what becomes of the rows."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from operation import operate
from operators import command, fill, on_a_terminal, rows

from sessionguard import SessionRecord, hookimpl
from sessionguard import plugins as plugins_module
from sessionguard.cli.moments import moment, span
from sessionguard.keys import fingerprint, row_key
from sessionguard.stores.disk.store import DiskStore
from sessionguard.stores.embedded import jobs

pytestmark = pytest.mark.once

NOW = int(time.time() * 1000)
DAY = 86_400_000


def record(number: int, idle: int = 0) -> SessionRecord:
    return SessionRecord(f"id-{number}", NOW - idle - 1000, NOW - idle)


class Desk:
    """A store with conversations in it, and the command that looks at them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.url = f"disk://{directory}"
        self.put({"a": record(0, 40 * DAY), "b": record(1), "c": record(2, 50 * DAY)})

    def put(self, conversations: Mapping[str, SessionRecord], **where: str) -> None:
        rows = {_row_key(f"agent:main:{key}", **where): row for key, row in conversations.items()}
        fill(DiskStore(self.directory), rows.items())

    def __call__(self, verb: str, *arguments: str) -> Any:
        return command("sessions", verb, *arguments, "--store", self.url)

    def json(self, verb: str, *arguments: str) -> Any:
        return json.loads(self(verb, *arguments, "--json").stdout)

    def listed(self, *arguments: str) -> list[str]:
        lines = self("list", *arguments, "--json").stdout.splitlines()
        return [json.loads(line)["key"].removeprefix("agent:main:") for line in lines]

    @property
    def rows(self) -> dict[str, SessionRecord]:
        return rows(DiskStore(self.directory))

    @property
    def ids(self) -> list[str]:
        return [row.session_id for row in self.rows.values()]


def _row_key(key: str, namespace: str = "default", principal: str | None = None, secret: str | None = None) -> str:
    return row_key(namespace, principal, key, secret)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "sessions")


def test_a_list_is_one_line_for_each_conversation(desk: Desk) -> None:
    """Times, the hash that logs show, the id and the key."""
    heading, *lines = desk("list").stdout.splitlines()

    assert heading.split() == ["LAST", "USED", "STARTED", "HASH", "SESSION", "ID", "KEY"]
    assert lines[1].split() == [
        *moment(NOW).split(),
        *moment(NOW - 1000).split(),
        fingerprint("agent:main:b"),
        "id-1",
        "agent:main:b",
    ]
    assert len(lines) == 3


def test_a_list_for_scripts_is_one_object_a_line(desk: Desk) -> None:
    """With times as they are stored."""
    lines = [json.loads(line) for line in desk("list", "--json").stdout.splitlines()]

    assert lines[0] == {
        "key": "agent:main:a",
        "principal": None,
        "hash": fingerprint("agent:main:a"),
        "session_id": "id-0",
        "session_started_at": NOW - 40 * DAY - 1000,
        "updated_at": NOW - 40 * DAY,
    }


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], ["a", "b", "c"]),
        (["--limit", "2"], ["a", "b"]),
        (["--limit", "0"], ["a", "b", "c"]),
        (["--newest"], ["b", "a", "c"]),
        (["--newest", "--limit", "1"], ["b"]),
        (["--newest", "--limit", "0"], ["b", "a", "c"]),
        (["--prefix", "agent:main:b"], ["b"]),
        (["--prefix", "agent:main:[ab]*"], []),
        (["--prefix", "b"], []),
        (["--principal", "carol"], ["d"]),
        (["--principal", "carol", "--prefix", "agent:main:"], ["d"]),
        (["--principal", "carol", "--prefix", "agent:main:x"], []),
        (["--namespace", "other"], ["e"]),
    ],
)
def test_a_list_is_what_was_asked_for(desk: Desk, options: list[str], expected: list[str]) -> None:
    """A prefix is text and nothing else; principals and namespaces are kept apart."""
    if "--principal" in options:
        desk.put({"d": record(3)}, principal="carol")
    desk.put({"e": record(4)}, namespace="other")

    assert desk.listed(*options) == expected


def test_the_newest_is_found_wherever_it_stands(desk: Desk) -> None:
    """Behind as many others as are kept."""
    desk.put({f"m{number}": record(number, DAY) for number in range(5)} | {"z": record(9, -1000)})

    assert desk.listed("--newest", "--limit", "2") == ["z", "b"]


def test_conversations_of_principals_are_listed_with_their_owners(desk: Desk) -> None:
    """The same key may be there several times."""
    desk.put({"b": record(3)}, principal="carol@example")
    lines = desk("list", "--prefix", "agent:main:b").stdout.splitlines()

    assert [line.endswith("agent:main:b  of carol@example") for line in lines[1:]] == [False, True]


def test_a_list_that_was_cut_says_so_to_people(desk: Desk) -> None:
    """On the other stream, so that scripts are not disturbed."""
    cut, whole = desk("list", "--limit", "2", "--json"), desk("list", "--limit", "3", "--json")

    assert cut.stderr == "There are more than these 2; --limit 0 shows all.\n"
    assert whole.stderr == ""


@pytest.mark.parametrize("options", [("agent:main:b",), ("B",), (" b ", "--agent", "main")])
def test_a_conversation_is_shown_by_any_spelling_of_its_key(desk: Desk, options: tuple[str, ...]) -> None:
    """The one that clients would use."""
    result = desk("show", *options)

    assert result.exit_code == 0
    assert result.stdout.splitlines()[:3] == [
        "key         agent:main:b",
        f"hash        {fingerprint('agent:main:b')}",
        "session id  id-1",
    ]


def test_a_conversation_is_found_by_the_hash_in_the_logs(desk: Desk) -> None:
    """Whoever it belongs to; those of two principals share a key."""
    desk.put({"b": record(3)}, principal="carol")
    found = desk.json("show", "--hash", fingerprint("agent:main:b"))

    assert [(each["session_id"], each["principal"]) for each in found] == [("id-1", None), ("id-3", "carol")]
    assert desk("show", "--hash", "00000000").exit_code == 1


@pytest.mark.parametrize(
    ("reset", "fate"),
    [("none", True), ("idle=60d", True), ("idle=30d", False), ("idle=60d;direct:idle=1d", False)],
)
def test_whether_it_goes_on_is_judged_by_the_settings(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, reset: str, fate: bool
) -> None:
    """The answer to: why has my conversation begun anew?"""
    monkeypatch.setenv("SESSIONGUARD_RESET", reset)
    (facts,) = desk.json("show", "a")

    assert facts["goes_on"] is fate
    assert ("begins it anew" in desk("show", "a").stdout) is not fate
    assert 40 * DAY <= facts["idle"] < 41 * DAY


def test_a_reset_gives_the_conversation_a_new_id(desk: Desk) -> None:
    """Its neighbours keep theirs, and both ids are told."""
    facts = desk.json("reset", "B")

    assert (facts["key"], facts["previous_session_id"]) == ("agent:main:b", "id-1")
    assert desk.ids == ["id-0", facts["session_id"], "id-2"]
    assert "id-1" != facts["session_id"]
    assert f"had the session id {facts['session_id']}, and has " in desk("reset", "b").stdout


class Numbers:
    """A plugin that mints."""

    @hookimpl
    def sessionguard_new_session_id(self, session_key: str) -> str:
        return "minted-by-a-plugin"


class Principals:
    """A plugin that knows who is asking."""

    @hookimpl
    def sessionguard_principal(self, scope: Mapping[str, Any]) -> str:
        return "somebody"


def install(monkeypatch: pytest.MonkeyPatch, plugin: type) -> None:
    """Make a plugin look as if it were installed."""
    monkeypatch.setattr(plugins_module, "_installed", lambda: {"installed": None})
    monkeypatch.setattr(plugins_module, "_load", lambda entry: plugin)


def test_a_reset_mints_as_the_guards_do(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plugin that mints for them is asked."""
    install(monkeypatch, Numbers)

    assert desk.json("reset", "b")["session_id"] == "minted-by-a-plugin"


def test_a_conversation_that_belongs_to_somebody_is_named_with_its_owner(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As soon as a plugin says who is asking."""
    install(monkeypatch, Principals)
    desk.put({"b": record(3)}, principal="carol")
    unnamed = desk("show", "b")
    named = desk.json("reset", "b", "--principal", "carol")

    assert (unnamed.exit_code, named["previous_session_id"]) == (2, "id-3")
    assert "say whose it is, with --principal" in unnamed.stderr


@pytest.mark.parametrize("verb", ["show", "reset", "forget"])
def test_a_conversation_that_is_not_there_is_a_finding(desk: Desk, verb: str) -> None:
    """And none is begun by looking for it."""
    result = desk(verb, "nobody")

    assert result.exit_code == 1
    assert "There is no such conversation" in result.stdout
    assert desk.ids == ["id-0", "id-1", "id-2"]


def test_nothing_is_forgotten_without_yes(desk: Desk) -> None:
    """It is shown what would be."""
    dry, before = desk("forget", "b"), desk.ids
    done = desk.json("forget", "b", "--yes")

    assert "add --yes to do it" in dry.stdout
    assert "id-1" in dry.stdout
    assert before == ["id-0", "id-1", "id-2"]
    assert (done["status"], done["session_id"], desk.ids) == ("forgotten", "id-1", ["id-0", "id-2"])


def test_a_conversation_that_was_reset_meanwhile_is_not_forgotten(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is removed is what was shown."""
    get = DiskStore.get

    async def get_then_reset(store: DiskStore, key: str) -> SessionRecord | None:
        row = await get(store, key)
        await store.reserve(key, "somebody-else", row)
        return row

    monkeypatch.setattr(DiskStore, "get", get_then_reset)
    result = desk("forget", "b", "--yes")
    monkeypatch.undo()

    assert result.exit_code == 1
    assert "was left alone" in result.stdout
    assert "somebody-else" in desk.ids


def test_pruning_counts_first(desk: Desk) -> None:
    """Without --yes it does no more than that."""
    result = desk("prune", "--idle", "30d")

    assert result.exit_code == 0
    assert f"2 of 3 conversations in {desk.url} were last used before" in result.stdout
    assert "Nothing was removed; add --yes" in result.stdout
    assert len(desk.rows) == 3


def test_pruning_removes_what_is_idle(desk: Desk) -> None:
    """And nothing else."""
    before = int(time.time() * 1000)
    report = desk.json("prune", "--idle", "30d", "--yes")
    after = int(time.time() * 1000)

    assert {name: report[name] for name in ("dry_run", "conversations", "idle", "removed", "left")} == {
        "dry_run": False,
        "conversations": 3,
        "idle": 2,
        "removed": 2,
        "left": 0,
    }
    assert before <= report["idle_before"] + 30 * DAY <= after
    assert desk.ids == ["id-1"]
    assert "0 were removed." in desk("prune", "--idle", "30d", "--yes").stdout


@pytest.mark.parametrize(
    ("options", "left"),
    [
        (["--idle", "45d"], ["id-0", "id-1"]),
        (["--idle", "30d", "--limit", "1"], ["id-1", "id-2"]),
        (["--idle", "30d", "--prefix", "agent:main:a"], ["id-1", "id-2"]),
        (["--idle", "30d", "--prefix", "agent:main:*"], ["id-0", "id-1", "id-2"]),
        (["--idle", "30d", "--principal", "carol"], ["id-0", "id-1", "id-2"]),
        (["--idle", "30d", "--namespace", "other"], ["id-0", "id-1", "id-2"]),
    ],
)
def test_pruning_keeps_to_what_was_asked_for(desk: Desk, options: list[str], left: list[str]) -> None:
    """Limits, prefixes and owners."""
    desk("prune", *options, "--yes")

    assert desk.ids == left


def test_pruning_spares_what_comes_back_to_life(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the count and the removal somebody may use it."""
    forget = DiskStore.forget

    async def forget_late(store: DiskStore, key: str, session_id: str, idle_before: int | None = None) -> bool:
        if session_id == "id-0":
            await store.adopt(key, record(0), None)
        return await forget(store, key, session_id, idle_before)

    monkeypatch.setattr(DiskStore, "forget", forget_late)
    result = desk("prune", "--idle", "30d", "--yes")

    assert "1 were removed. 1 were used or removed meanwhile." in result.stdout
    assert desk.ids == ["id-0", "id-1"]


@pytest.mark.slow
def test_pruning_shows_its_progress_to_a_person_alone(desk: Desk) -> None:
    """A bar on the terminal; what goes into a pipe is the report and nothing else."""
    desk.put({f"bulk-{number:04}": record(number, 40 * DAY) for number in range(250)})
    arguments = ("sessions", "prune", "--idle", "30d", "--store", desk.url, "--json")
    code, output, shown = on_a_terminal(*arguments, "--yes")
    silent = command(*arguments)

    assert (code, json.loads(output)["removed"]) == (0, 252)
    assert b"removing" in shown
    assert (silent.exit_code, silent.stderr) == (0, "")


WRONG = {
    "no store there": (["list", "--store", "disk:///{}/nowhere"], "there is no store at disk:///"),
    "a store of one process": (["list", "--store", "memory:"], "lives and ends within one process"),
    "a key that is not legal": (["show", "a,b"], "holds a comma"),
    "a key that is reserved": (["show", "cron:x"], "reserved internal session namespaces"),
    "neither key nor hash": (["show"], "give KEY, or --hash"),
    "key and hash": (["show", "a", "--hash", "00000000"], "give KEY, or --hash"),
    "no hash": (["show", "--hash", "xyz"], "expected eight of 0-9 and a-f"),
    "too short a time": (["prune", "--idle", "1h"], "--idle: '1h' is not legal; expected seconds (or 30d, 12h)"),
    "no time": (["prune", "--idle", "soon"], "--idle: 'soon' is not legal"),
    "no namespace": (["list", "--namespace", "a/b"], "namespace: 'a/b' is not legal"),
    "a hash to reset": (["reset", f"#{0:064}"], "to reset a conversation, give its key"),
}


@pytest.mark.parametrize(("arguments", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_call_is_explained(desk: Desk, tmp_path: Path, arguments: list[str], message: str) -> None:
    """With the exit code for it, and nothing on the way to a script."""
    verb, *rest = (argument.format(tmp_path) for argument in arguments)
    result = command("sessions", verb, *(rest if "--store" in rest else [*rest, "--store", desk.url]))

    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert not (tmp_path / "nowhere").exists()


def test_a_store_of_hashes_is_looked_at_by_key_and_by_hash(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list shows hashes; whoever knows the key finds the row, and what is listed can be handed in."""
    secret = "a secret of many characters"
    desk.put({"d": record(3)}, secret=secret)
    monkeypatch.setenv("SESSIONGUARD_KEY_SECRET", secret)
    (listed,) = desk.listed("--prefix", "#")

    assert desk.json("show", "d")[0]["session_id"] == "id-3"
    assert desk.json("show", listed)[0]["session_id"] == "id-3"
    assert desk.json("show", "--hash", fingerprint(listed))[0]["key"] == listed


def test_a_row_that_does_not_decode_is_a_finding(desk: Desk) -> None:
    """It is reported, and left alone."""
    with contextlib.closing(sqlite3.connect(desk.directory / "cache.db", isolation_level=None)) as other:
        other.execute("UPDATE Cache SET value = x'00' WHERE key LIKE '%:b'")
    result = desk("show", "b")

    assert result.exit_code == 1
    assert "it was left untouched" in result.stderr


@pytest.mark.slow
def test_a_store_that_does_not_answer_is_tried_again_later(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """75 tells a script to come back."""
    monkeypatch.setattr(jobs, "JOB_SECONDS", 0.2)
    with contextlib.closing(sqlite3.connect(desk.directory / "cache.db", isolation_level=None)) as intruder:
        intruder.execute("BEGIN IMMEDIATE")
        result = desk("reset", "b")

    assert result.exit_code == 75
    assert desk("reset", "b").exit_code == 0


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(-5, "0s"), (59_999, "59s"), (60_000, "1m"), (3_600_000, "1h"), (47 * 3_600_000, "1d"), (40 * DAY, "40d")],
)
def test_a_duration_is_said_in_its_largest_unit(milliseconds: int, text: str) -> None:
    """A clock that runs ahead gives nothing less than nothing."""
    assert span(milliseconds) == text


def test_a_time_beyond_all_calendars_is_shown_as_it_is() -> None:
    """A row may hold one, and must not break the list."""
    assert moment(2**53) == f"{2**53} ms"


@pytest.mark.slow
def test_an_operator_gets_through_the_day(tmp_path: Path) -> None:
    """Every command, as processes of their own, one after the other."""
    operate(f"sqlite://{tmp_path}/store", tmp_path)
