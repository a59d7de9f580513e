"""`sessionguard import openclaw` and `export`: a gateway's ids become the guard's, and come back as they were."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import sqlite3
import subprocess
import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from gateway import DATABASE, entry, running_gateway, write_json, write_nodes, write_sqlite
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from operators import COMMAND, command, fill, on_a_terminal, rows
from typer.testing import Result

from sessionguard import SessionRecord, SessionStore, hookimpl
from sessionguard import copying as copying_module
from sessionguard import plugins as plugins_module
from sessionguard.cli import adoption as adoption_module
from sessionguard.cli import export_openclaw, import_openclaw, import_report
from sessionguard.cli.gateway.entry import entry_of, record_of
from sessionguard.keys import canonical, row_key
from sessionguard.stores.disk.store import DiskStore
from sessionguard.stores.embedded import jobs
from sessionguard.stores.memory import MemoryStore

pytestmark = pytest.mark.once

Write = Callable[[Path, Mapping[str, Any]], Path]

ENTRIES = {
    "agent:main:main": entry("id-main", 100, 200),
    "agent:ops:signal:group:AbC=": entry("id-group", 300, 400),
    "Final-1": entry("id-final", 500, 600),
    "global": entry("id-global", 700, 800),
}
ROWS = {
    "default//agent:main:main": SessionRecord("id-main", 100, 200),
    "default//agent:ops:signal:group:AbC=": SessionRecord("id-group", 300, 400),
    "default//agent:main:final-1": SessionRecord("id-final", 500, 600),
    "default//global": SessionRecord("id-global", 700, 800),
}


class Gateway:
    """The file of a gateway, the store of a guard, and the commands between them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / "sessions.json"
        self.url = f"disk://{directory}/store"

    def take_over(self, *options: str, entries: Mapping[str, Any] | None = None) -> Result:
        if entries is not None:
            write_json(self.path, entries)
        return command("import", "openclaw", str(self.path), "--store", self.url, *options)

    def report(self, *options: str, entries: Mapping[str, Any] | None = None) -> dict[str, Any]:
        facts: dict[str, Any] = json.loads(self.take_over("--json", *options, entries=entries).stdout)
        return facts

    def export(self, *options: str) -> Result:
        return command("export", "-", "--store", self.url, *options)

    def put(self, key: str, record: SessionRecord) -> None:
        fill(DiskStore(self.directory / "store"), [(key, record)])

    @property
    def rows(self) -> dict[str, SessionRecord]:
        return rows(DiskStore(self.directory / "store"))


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    return Gateway(tmp_path)


@pytest.mark.parametrize("write", [write_json, write_sqlite, write_nodes], ids=["sessions.json", "beta", "schema 23"])
def test_the_ids_of_a_gateway_are_adopted_with_their_times(gateway: Gateway, write: Write) -> None:
    """From the file or the database, each under the key by which a client will ask for it."""
    write(gateway.path, ENTRIES)
    result = gateway.take_over()

    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith(f"4 entries for {gateway.url}: 4 adopted, 0 used later")
    assert gateway.rows == ROWS


LATER = {**ENTRIES, "Final-1": entry("id-final", 500, 999), "new": entry("id-new", 5, 6)}


def test_a_plain_import_changes_no_row_that_stands(gateway: Gateway) -> None:
    """Run again, it adds what is new; a use that is later there is not noted."""
    gateway.take_over(entries=ENTRIES)
    report = gateway.report(entries=LATER)

    assert (report["adopted"], report["known_already"], report["used_later_than_was_known"]) == (1, 4, 0)
    assert gateway.rows == {**ROWS, "default//agent:main:new": SessionRecord("id-new", 5, 6)}


def test_a_later_use_is_noted_if_that_is_wanted(gateway: Gateway) -> None:
    """With `--take-newer`."""
    gateway.take_over(entries=ENTRIES)
    report = gateway.report("--take-newer", entries=LATER)

    assert (report["adopted"], report["known_already"], report["used_later_than_was_known"]) == (1, 3, 1)
    assert gateway.rows["default//agent:main:final-1"] == SessionRecord("id-final", 500, 999)


def test_a_dry_run_writes_nothing(gateway: Gateway) -> None:
    """It counts what would be adopted."""
    result = gateway.take_over("--dry-run", entries=ENTRIES)

    assert result.exit_code == 0
    assert "4 adopted" in result.stdout
    assert "This was a dry run: nothing was written." in result.stdout
    assert gateway.rows == {}


def test_a_conversation_with_another_id_is_a_conflict(gateway: Gateway) -> None:
    """It is listed, and what stands is left alone, however old it is."""
    standing = SessionRecord("ours", 1, 2)
    gateway.put("default//agent:main:final-1", standing)
    result = gateway.take_over(entries=ENTRIES)
    report = gateway.report("--dry-run")

    assert result.exit_code == 1
    assert "3 adopted" in result.stdout
    assert "\n1 conversations have another session id here than in the gateway. It gives out ids of" in result.stdout
    assert "id-final" not in result.stdout
    assert report["conflicts"] == [{"key": "Final-1", "stands": "ours", "offered": "id-final"}]
    assert gateway.rows == {**ROWS, "default//agent:main:final-1": standing}


@pytest.mark.parametrize(("used", "stands"), [(599, "id-final"), (600, "id-final"), (601, "ours")])
def test_the_id_used_later_stands_if_that_is_wanted(gateway: Gateway, used: int, stands: str) -> None:
    """With `--take-newer`, and by the compare-and-set that every reservation goes by."""
    gateway.put("default//agent:main:final-1", SessionRecord("ours", 1, used))
    report = gateway.report("--take-newer", entries=ENTRIES)

    assert gateway.rows["default//agent:main:final-1"].session_id == stands
    assert (report["put_over_older_ones"], report["in_conflict"]) == ((1, 0) if stands == "id-final" else (0, 1))


def test_two_spellings_of_one_key_are_a_conflict(gateway: Gateway) -> None:
    """The first in the file stands: a conversation that has forked before is not forked again."""
    twice = {"Final-1": entry("first"), "agent:main:final-1": entry("second")}
    result = gateway.take_over(entries=twice)

    assert result.exit_code == 1
    assert "\n1 keys are in the gateway's store in two spellings with two ids, which is a fork." in result.stdout
    assert "  agent:main:final-1: first here, second there" in result.stdout
    assert "conversations have another session id here" not in result.stdout
    assert gateway.rows["default//agent:main:final-1"].session_id == "first"


@pytest.mark.slow
def test_conversations_that_began_here_are_one_line(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gives the reason and the next step; a thousand are kept for scripts, so that memory has a bound."""
    monkeypatch.setattr(adoption_module, "MOST_CONFLICTS", 15)
    for number in range(84):
        gateway.put(f"default//agent:main:k{number}", SessionRecord(f"ours-{number}", 1, 2))
    before = gateway.rows
    result = gateway.take_over(entries={f"k{number}": entry(f"theirs-{number}", 1, 999) for number in range(84)})
    report = gateway.report()

    assert (result.exit_code, len(result.stdout.splitlines())) == (1, 3)
    assert "\n84 conversations have another session id here" in result.stdout
    assert "this is expected of conversations that began, or were reset, behind the guard" in result.stdout
    assert "The ids here stand, and nothing needs to be done; --take-newer" in result.stdout
    assert (report["in_conflict"], report["begun_here"], len(report["conflicts"])) == (84, 84, 15)
    assert gateway.rows == before


def test_many_keys_in_two_spellings_are_counted_and_some_are_shown(gateway: Gateway) -> None:
    """Ten, for people."""
    entries = {f"{letter}{number}": entry(f"{letter}{number}") for number in range(20) for letter in "kK"}
    result = gateway.take_over(entries=entries)

    assert len(re.findall(r"K\d+: k\d+ here, K\d+ there", result.stdout)) == import_report.SHOWN == 10
    assert result.stdout.endswith("  and 10 more\n")


def test_a_gateway_that_goes_on_writing_fails_no_import(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second look at its ids is for the report alone."""
    gateway.put("default//agent:main:final-1", SessionRecord("ours", 1, 2))
    write_json(gateway.path, ENTRIES)
    adopt = import_openclaw._Import._adopt

    async def adopt_and_cut(self: Any, *args: Any) -> None:
        await adopt(self, *args)
        gateway.path.write_text("{")

    monkeypatch.setattr(import_openclaw._Import, "_adopt", adopt_and_cut)
    result = gateway.take_over()

    assert "1 conversations have another session id here" in result.stdout


def test_what_the_guard_would_refuse_is_left_out(gateway: Gateway) -> None:
    """The gateway's own runs are nobody's loss; a key that clients use is a finding."""
    odd = {"agent:main:cron:job": entry("c"), "subagent:x": entry("s"), "no id": {}, "nothing": None, "a b": entry("x")}
    result = gateway.take_over(entries={**ENTRIES, **odd})
    report = gateway.report(entries={"cron:x": entry("c"), "k": {"sessionId": "new\nline"}})

    assert result.exit_code == 1
    assert "2 were left out: they belong to the gateway's own runs" in result.stdout
    assert "2 were left out: they hold no session id" in result.stdout
    assert "1 were left out: they have a key that the guard refuses; clients that use one get 400" in result.stdout
    assert result.stdout.endswith(
        "  a b: The session key holds a space or a tab inside; put '-' or '_' in its place.\n"
    )
    assert (report["left_out"], report["refused"]) == ({"reserved_session_key": 1, "no_session_id": 1}, [])
    assert gateway.rows == ROWS


def test_keys_are_shown_in_one_line_that_a_terminal_can_bear(gateway: Gateway) -> None:
    """Without control characters, and not at any length."""
    result = gateway.take_over(entries={"a\x1b[31m": entry("x"), "b" * 999: entry("y")})
    report = gateway.report()

    assert "  a\\x1b[31m: The session key holds a control character; remove it.\n" in result.stdout
    assert f"  {'b' * 120}... (999 characters): The session key is longer than 256 bytes" in result.stdout
    assert [each["reason"][:25] for each in report["refused"]] == [
        "The session key holds a c",
        "The session key is longer",
    ]


def test_rows_that_are_not_valid_to_the_gateway_are_counted(gateway: Gateway) -> None:
    """They are no finding."""
    path = write_nodes(gateway.directory / DATABASE, {"k": entry("x")}, nodes=[("gone", "y", "{}", -1, 1)])
    result = command("import", "openclaw", str(path), "--store", gateway.url)

    assert result.exit_code == 0
    assert "1 were left out: they are not valid to the gateway either." in result.stdout


@pytest.mark.parametrize(
    ("options", "key"),
    [
        (["--agent", "ops"], "default//agent:ops:final-1"),
        (["--principal", "carol"], "default/carol/agent:main:final-1"),
        (["--namespace", "two"], "two//agent:main:final-1"),
    ],
)
def test_where_conversations_belong_can_be_said(gateway: Gateway, options: list[str], key: str) -> None:
    """Their agent where the key names none, their owner, and the application."""
    gateway.take_over(*options, entries={"Final-1": entry("id")})

    assert list(gateway.rows) == [key]


def test_a_store_may_hold_hashes_of_what_is_imported(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing leads back from there."""
    secret = "a secret of many characters"
    monkeypatch.setenv("SESSIONGUARD_KEY_SECRET", secret)
    gateway.take_over(entries={"Final-1": entry("id", 1, 2)})
    exported = gateway.export()

    assert gateway.rows == {row_key("default", None, "agent:main:final-1", secret): SessionRecord("id", 1, 2)}
    assert exported.exit_code == 2
    assert "holds hashes instead of keys" in exported.stderr


TIMES = {
    "both": ({"updatedAt": 20, "sessionStartedAt": 10}, (10, 20)),
    "no start": ({"updatedAt": 20}, (20, 20)),
    "no use": ({"sessionStartedAt": 10}, (10, 10)),
    "neither": ({}, (99, 99)),
    "a fraction": ({"updatedAt": 20.7, "sessionStartedAt": 10.0}, (10, 20)),
    "written as a decimal": ({"updatedAt": Decimal("20.5"), "sessionStartedAt": Decimal("1e1")}, (10, 20)),
    "negative": ({"updatedAt": -1, "sessionStartedAt": 10}, (10, 10)),
    "beyond all times": ({"updatedAt": 2**60, "sessionStartedAt": float("inf")}, (99, 99)),
    "no number": ({"updatedAt": "20", "sessionStartedAt": True}, (99, 99)),
}


@pytest.mark.parametrize(("times", "expected"), TIMES.values(), ids=TIMES)
def test_times_are_read_as_the_gateway_reads_them(times: Mapping[str, Any], expected: tuple[int, int]) -> None:
    """What is missing or nonsense never ends a conversation before its time."""
    assert record_of({"sessionId": "id", **times}, 99) == SessionRecord("id", *expected)


UNREADABLE = {
    "no file": (lambda path: None, "cannot be read (No such file or directory)"),
    "a list": (lambda path: path.write_text("[]"), "it holds no JSON object; name a sessions.json"),
    "nothing": (lambda path: path.write_text(""), "is not JSON as a whole"),
    "half a file": (lambda path: path.write_text('{"a": {"sessionId": "x"}, "b": {'), "is it still being written?"),
    "no UTF-8": (lambda path: path.write_bytes(b'{"\xff": 1}'), "is not JSON as a whole"),
    "another database": (lambda path: _make_database(path), "is no database of an OpenClaw agent"),
    "a broken database": (lambda path: path.write_bytes(b"SQLite format 3\0" + b"x" * 4096), "damaged or encrypted"),
}


def _make_database(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE other (x)")


@pytest.mark.parametrize(("make", "message"), UNREADABLE.values(), ids=UNREADABLE)
def test_a_file_that_is_not_what_it_should_be_is_a_wrong_call(
    gateway: Gateway, make: Callable[[Path], object], message: str
) -> None:
    """It is named, and what is wrong with it."""
    make(gateway.path)
    result = gateway.take_over()

    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert str(gateway.path) in result.stderr


def test_a_database_entry_that_is_not_json_has_its_columns(gateway: Gateway) -> None:
    """The id and the last use are what counts."""
    write_sqlite(gateway.path, ENTRIES)
    with contextlib.closing(sqlite3.connect(gateway.path, isolation_level=None)) as connection:
        connection.execute("UPDATE session_entries SET entry_json = 'x' WHERE session_id = 'id-main'")
        connection.execute("UPDATE session_entries SET entry_json = '[]' WHERE session_id = 'id-final'")
    gateway.take_over()

    assert gateway.rows["default//agent:main:main"] == SessionRecord("id-main", 200, 200)
    assert gateway.rows["default//agent:main:final-1"] == SessionRecord("id-final", 600, 600)


def test_a_database_is_read_while_its_gateway_writes(gateway: Gateway) -> None:
    """An open transaction of the gateway stops nobody; what it has not committed is not there yet."""
    write_sqlite(gateway.path, ENTRIES)
    with running_gateway(gateway.path, "BEGIN IMMEDIATE", "DELETE FROM session_entries"):
        result = gateway.take_over()

    assert result.exit_code == 0
    assert gateway.rows == ROWS


class MinimalPlugin:
    """Offers a store that keeps the contract and does no more."""

    @hookimpl
    def sessionguard_register_stores(self) -> Mapping[str, Any]:
        return {"minimal": lambda url, settings: _minimal()}


def _minimal() -> SessionStore:
    store = MemoryStore()
    verbs = {name: getattr(store, name) for name in ("get", "reserve", "touch", "forget", "scan", "ping", "aclose")}
    bound = {name: staticmethod(verb) for name, verb in verbs.items()}
    minimal: SessionStore = type("Minimal", (SessionStore,), {**bound, "coordination": "host", "location": "here"})()
    return minimal


def test_a_store_that_cannot_adopt_is_a_wrong_call(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Said before anything is read."""
    monkeypatch.setattr(plugins_module, "_installed", lambda: {"minimal": None})
    monkeypatch.setattr(plugins_module, "_load", lambda name: MinimalPlugin)
    result = command("import", "openclaw", str(gateway.path), "--store", "minimal:")

    assert result.exit_code == 2
    assert "minimal://here cannot take over conversations" in result.stderr


@pytest.mark.slow
def test_a_store_that_does_not_answer_is_tried_again_later(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the same command then goes on."""
    monkeypatch.setattr(jobs, "JOB_SECONDS", 0.2)
    monkeypatch.setattr(copying_module, "PAUSE_SECONDS", 0.0)
    gateway.put("default//x", SessionRecord("x", 1, 1))
    with contextlib.closing(sqlite3.connect(gateway.directory / "store" / "cache.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        result = gateway.take_over(entries=ENTRIES)

    assert result.exit_code == 75
    assert gateway.take_over().exit_code == 0


def test_a_conversation_that_everybody_changes_at_once_is_given_up(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An id that was adopted is never overwritten, however often somebody else was faster."""
    monkeypatch.setattr(copying_module, "PAUSE_SECONDS", 0.0)

    async def vanish(store: DiskStore, key: str) -> None:
        return None

    gateway.put("default//agent:main:final-1", SessionRecord("ours", 1, 2))
    monkeypatch.setattr(DiskStore, "get", vanish)
    result = gateway.take_over(entries=ENTRIES)
    monkeypatch.undo()

    assert result.exit_code == 75
    assert gateway.rows["default//agent:main:final-1"].session_id == "ours"


ROWS_TO_KILL = 1500


@pytest.mark.slow
def test_an_import_that_is_killed_goes_on_where_it_was(gateway: Gateway) -> None:
    """All that was adopted stays, the rest follows, and no id is another than in the file."""
    entries = {f"key-{number:05}": entry(f"id-{number}", number, number + 1) for number in range(ROWS_TO_KILL)}
    write_json(gateway.path, entries)
    with subprocess.Popen([COMMAND, "import", "openclaw", gateway.path, "--store", gateway.url]) as running:
        while not (adopted := _count(gateway.directory / "store" / "cache.db")) and running.poll() is None:
            time.sleep(0.01)
        running.kill()
    report = gateway.report()

    assert adopted < ROWS_TO_KILL
    assert report["adopted"] + report["known_already"] == ROWS_TO_KILL
    assert report["known_already"] >= adopted
    assert [row.session_id for row in gateway.rows.values()] == [each["sessionId"] for each in entries.values()]


def _count(path: Path) -> int:
    uri = f"file:{path}?mode=ro"
    with contextlib.suppress(sqlite3.OperationalError), contextlib.closing(sqlite3.connect(uri, uri=True)) as reader:
        return int(reader.execute("SELECT count(*) FROM Cache").fetchone()[0])
    return 0


@pytest.mark.slow
def test_an_import_shows_its_progress_to_a_person_alone(gateway: Gateway) -> None:
    """A bar on the terminal, with a percentage of the file."""
    write_json(gateway.path, {f"key-{number}": entry(f"id-{number}") for number in range(1000)})
    code, output, shown = on_a_terminal(
        "import", "openclaw", str(gateway.path), "--store", gateway.url, "--json", "--dry-run"
    )

    assert (code, json.loads(output)["adopted"]) == (0, 1000)
    assert b"1,000 entries" in shown
    assert b"100%" in shown


def test_an_export_is_a_sessions_file(gateway: Gateway) -> None:
    """Three fields for every key, as they came."""
    gateway.take_over(entries=ENTRIES)
    result = gateway.export()
    kept = ("sessionId", "updatedAt", "sessionStartedAt")
    expected = {key.removeprefix("default//"): entry_of(row) for key, row in ROWS.items()}

    assert result.exit_code == 0
    assert json.loads(result.stdout) == expected
    assert expected["agent:main:final-1"] == {name: ENTRIES["Final-1"][name] for name in kept}
    assert result.stderr.startswith(f"4 conversations in {gateway.url} were exported.\n")


def test_an_export_says_what_takes_it_back(gateway: Gateway) -> None:
    """Older gateways; not those of today."""
    gateway.take_over(entries=ENTRIES)
    said = gateway.export().stderr

    assert "OpenClaw up to 2026.7 reads this as agents/<agent>/sessions/sessions.json" in said
    assert "Since 2026.8 its sessions are in a database that may not be edited behind it" in said


@pytest.mark.slow
def test_an_export_shows_its_progress_to_a_person_alone(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """A count that grows; the file goes into the pipe."""
    monkeypatch.setattr(export_openclaw, "STEP", 10)
    gateway.take_over(entries={f"key-{number}": entry(f"id-{number}") for number in range(50)})
    code, output, shown = on_a_terminal("export", "-", "--store", gateway.url)
    result = gateway.export()

    assert (code, len(json.loads(output))) == (0, 50)
    assert b"exporting" in shown
    assert json.loads(output) == json.loads(result.stdout)


def test_an_export_of_nothing_is_a_file_too(gateway: Gateway) -> None:
    """An empty object."""
    gateway.take_over(entries=ENTRIES)

    assert json.loads(gateway.export("--prefix", "agent:nobody:").stdout) == {}


def test_an_export_is_of_one_owner(gateway: Gateway) -> None:
    """A file knows none, so the others are counted as left out."""
    gateway.take_over(entries={"k": entry("nobody's")})
    gateway.take_over("--principal", "carol", entries={"k": entry("carol's")})
    plain, carols = gateway.export("--json"), gateway.export("--principal", "carol")

    assert (plain.exit_code, json.loads(plain.stdout)["agent:main:k"]["sessionId"]) == (1, "nobody's")
    assert json.loads(plain.stderr)["of_principals"] == 1
    assert "belong to principals" in gateway.export().stderr
    assert (carols.exit_code, json.loads(carols.stdout)["agent:main:k"]["sessionId"]) == (0, "carol's")


def test_an_export_makes_a_file_of_its_own(gateway: Gateway, tmp_path: Path) -> None:
    """Private, and never over another one; half a file is not left behind."""
    gateway.take_over(entries=ENTRIES)
    made = tmp_path / "made.json"
    results = [command("export", str(path), "--store", gateway.url) for path in (made, made, tmp_path / "no" / "dir")]
    with contextlib.closing(sqlite3.connect(tmp_path / "store" / "cache.db", isolation_level=None)) as other:
        other.execute("UPDATE Cache SET value = x'00' WHERE key LIKE '%final-1'")
    broken = command("export", str(tmp_path / "broken.json"), "--store", gateway.url)

    assert [result.exit_code for result in (*results, broken)] == [0, 2, 2, 1]
    assert len(json.loads(made.read_text())) == 4
    assert made.stat().st_mode & 0o777 == 0o600
    assert "exists; an export overwrites nothing" in results[1].stderr
    assert "cannot be written (No such file or directory)" in results[2].stderr
    assert not (tmp_path / "broken.json").exists()


SEGMENTS = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters=",:"), min_size=1, max_size=9
)
RAW_KEYS = st.lists(SEGMENTS, min_size=1, max_size=3).map(":".join)
IDS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=40)
MOMENTS = st.integers(0, 2**53)
RECORDS = st.builds(SessionRecord, IDS, MOMENTS, MOMENTS)


def _legal(raw_key: str) -> bool:
    with contextlib.suppress(Exception):
        return bool(canonical(raw_key))
    return False


UNHURRIED = settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.slow
@UNHURRIED
@given(
    st.dictionaries(RAW_KEYS.filter(_legal).map(canonical), RECORDS, max_size=8),
    st.sampled_from([write_json, write_sqlite, write_nodes]),
)
def test_what_is_exported_and_imported_is_what_was(
    tmp_path_factory: pytest.TempPathFactory, conversations: dict[str, SessionRecord], write: Write
) -> None:
    """Every key, every id and both times, through a file of either form into another store and back."""
    directory = tmp_path_factory.mktemp("round")
    first, second = DiskStore(directory / "first"), DiskStore(directory / "second")
    expected = {row_key("default", None, key): record for key, record in conversations.items()}
    fill(first, expected.items())
    asyncio.run(_opened(first))
    exported = command("export", "-", "--store", f"disk://{directory / 'first'}")
    path = write(directory / "file", json.loads(exported.stdout))
    imported = command("import", "openclaw", str(path), "--store", f"disk://{directory / 'second'}", "--json")

    assert (exported.exit_code, imported.exit_code) == (0, 0), exported.stderr + imported.stderr
    assert rows(second) == expected


async def _opened(store: DiskStore) -> None:
    await store.ping()
    await store.aclose()


@pytest.mark.slow
@UNHURRIED
@given(
    st.dictionaries(
        st.one_of(RAW_KEYS, st.text(max_size=12)),
        st.one_of(
            st.none(),
            st.integers(),
            st.dictionaries(
                st.sampled_from(["sessionId", "updatedAt", "sessionStartedAt", "origin"]),
                st.one_of(
                    st.none(),
                    st.booleans(),
                    st.integers(),
                    st.floats(allow_nan=False, allow_infinity=False),
                    IDS,
                    st.lists(IDS, max_size=2),
                ),
            ),
        ),
        max_size=8,
    )
)
def test_whatever_is_in_a_file_every_entry_is_accounted_for(
    tmp_path_factory: pytest.TempPathFactory, entries: dict[str, Any]
) -> None:
    """Adopted, in conflict or left out with a reason; a row is never another than its entry."""
    gateway = Gateway(tmp_path_factory.mktemp("any"))
    report = gateway.report(entries=entries)
    counted = sum(report[name] for name in ("adopted", "known_already", "in_conflict")) + sum(
        report["left_out"].values()
    )

    assert report["entries"] == len(entries) == counted
    assert {row.session_id for row in gateway.rows.values()} <= {
        each["sessionId"]
        for each in entries.values()
        if isinstance(each, dict) and isinstance(each.get("sessionId"), str)
    }
