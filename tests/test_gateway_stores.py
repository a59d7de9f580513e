"""A gateway's stores: found by its own rules, read without a trace, and refused with the true reason."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gateway import (
    DATABASE,
    SAMPLES,
    another_user,
    entry,
    public_directory,
    running_gateway,
    write_json,
    write_nodes,
    write_sqlite,
)
from operators import command, rows

from sessionguard.cli.gateway import database
from sessionguard.cli.gateway.errors import Locked, NoSessions, Unreadable
from sessionguard.cli.gateway.file import open_file, open_newest
from sessionguard.cli.gateway.home import AgentStore, default_home, find_stores
from sessionguard.stores.disk.store import DiskStore

ONE = {"agent:main:a": entry("id-a", 1, 2)}


def ids(path: Path) -> dict[str, str]:
    """The keys and ids in a store."""
    return {key: fields["sessionId"] for key, fields in open_file(path).entries()}


def files(directory: Path) -> dict[str, bytes]:
    """All files of a directory, with their bytes."""
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks that are not waited for."""
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.1)


@pytest.mark.parametrize(
    ("release", "name", "kind", "count"),
    [
        ("2026.5.20", "sessions.json", "sessions.json", 3),
        ("2026.7.35", "sessions.json", "sessions.json", 3),
        ("2026.9.6", DATABASE, "schema 23", 5),
    ],
)
def test_samples_of_real_releases_are_read(release: str, name: str, kind: str, count: int) -> None:
    """As three releases have written them."""
    file = open_file(SAMPLES / release / name)

    assert (file.kind, len(list(file.entries()))) == (kind, count)


def test_a_sample_keeps_its_keys_and_ids() -> None:
    """With the opaque part of a key as it is."""
    assert ids(SAMPLES / "2026.9.6" / DATABASE) == {
        "agent:main:main": "33e5e98f-2709-4b0e-809b-70697a4989e6",
        "agent:main:signal:group:AbCnew6993Xy==": "c4f1f425-1b74-4888-aac9-b881aa2c4479",
        "agent:main:t-bare-new.c0n2r0.86126": "97297ce2-866b-42c5-8b13-a3eb3fcd192d",
        "agent:main:t-bare-new.c0n6r1.86175": "7773c3f6-f5f3-4701-9530-91872a20c818",
        "global": "7f7b4846-b07a-4e6a-a05d-5fe6e3e793f7",
    }


@pytest.mark.parametrize("version", [None, *range(14, 26)])
def test_every_schema_with_the_needed_columns_is_read(tmp_path: Path, version: int | None) -> None:
    """A newer one than is known, too, and it is named."""
    file = open_file(write_nodes(tmp_path / DATABASE, ONE, version=version))

    assert [key for key, _ in file.entries()] == ["agent:main:a"]
    assert file.kind.endswith("newer than the newest known") == (version in (24, 25))


@pytest.mark.parametrize("column", ["session_key", "current_session_id", "entry_json"])
def test_a_schema_without_a_needed_column_is_named(tmp_path: Path, column: str) -> None:
    """With the version, and the newest that is known."""
    path = write_nodes(tmp_path / DATABASE, ONE, version=24, without=[column])

    with pytest.raises(Unreadable, match=f"has schema 24, whose session_nodes has no {column}; .* release is 23; upd"):
        open_file(path)


def test_a_schema_without_a_time_of_use_is_read(tmp_path: Path) -> None:
    """The entry has it as well."""
    path = write_nodes(tmp_path / DATABASE, ONE, version=24, without=["updated_at"])

    assert [fields["updatedAt"] for _, fields in open_file(path).entries()] == [2]


def test_a_version_alone_is_named(tmp_path: Path) -> None:
    """From a table of versions with other columns than today."""
    with contextlib.closing(sqlite3.connect(tmp_path / DATABASE, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE schema_meta (schema_version)")
        connection.execute("INSERT INTO schema_meta VALUES (31)")

    with pytest.raises(NoSessions, match="it has schema 31 without session_nodes and session_entries"):
        open_file(tmp_path / DATABASE)


VALIDITY = {"valid": (1, True), "not checked": (0, False), "removed": (-1, False), "null": (None, False)}


@pytest.mark.parametrize(("valid", "is_read"), VALIDITY.values(), ids=VALIDITY)
def test_only_valid_rows_are_read(tmp_path: Path, valid: int | None, is_read: bool) -> None:
    """The others are counted."""
    node = ("agent:main:a", "id-a", "{}", valid, 2)
    file = open_file(write_nodes(tmp_path / DATABASE, nodes=[node]))

    assert len(list(file.entries())) == file.size == is_read
    assert file.invalid == (not is_read)


EMPTY = {
    "an entry": ('{"sessionId": "id-a"}', True),
    "an object": ("{}", False),
    "": ("", False),
    "null": (None, False),
}


@pytest.mark.parametrize(("text", "is_read"), EMPTY.values(), ids=EMPTY)
def test_only_entries_that_are_not_empty_are_read_in_schema_14(tmp_path: Path, text: str | None, is_read: bool) -> None:
    """It has no column for it."""
    node = ("agent:main:a", "id-a", text, 1, 2)
    file = open_file(write_nodes(tmp_path / DATABASE, nodes=[node], version=14, without=["entry_valid"]))

    assert len(list(file.entries())) == is_read


TIMES = {
    "null": (None, 7),
    "negative": (-1, 7),
    "text": ("soon", 7),
    "infinite": (float("inf"), 7),
    "fraction": (9.5, 9.5),
    "zero": (0, 0),
}


@pytest.mark.parametrize(("updated_at", "expected"), TIMES.values(), ids=TIMES)
def test_a_time_that_is_none_is_taken_from_the_entry(tmp_path: Path, updated_at: Any, expected: float) -> None:
    """The column counts where it holds a time."""
    node = ("agent:main:a", "id-a", '{"updatedAt": 7}', 1, updated_at)
    path = write_nodes(tmp_path / DATABASE, nodes=[node])

    assert [fields["updatedAt"] for _, fields in open_file(path).entries()] == [expected]


@pytest.mark.parametrize("text", [None, "no JSON", "[]", b"\xff"])
def test_an_entry_without_json_has_its_columns(tmp_path: Path, text: str | bytes | None) -> None:
    """Where the gateway takes it for valid."""
    path = write_nodes(tmp_path / DATABASE, nodes=[("agent:main:a", "id-a", text, 1, 5)])

    assert list(open_file(path).entries()) == [("agent:main:a", {"sessionId": "id-a", "updatedAt": 5})]


def test_a_key_that_is_not_utf_8_is_read(tmp_path: Path) -> None:
    """And refused like any key that is not ASCII."""
    path = write_nodes(tmp_path / DATABASE, ONE)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE session_nodes SET session_key = CAST(x'6bff' AS TEXT)")

    assert list(ids(path)) == ["k\ufffd"]


def test_thousands_of_rows_are_read_page_by_page(tmp_path: Path) -> None:
    """In the order of their keys, each once."""
    entries = {f"agent:main:k{number:05}": entry(f"id-{number}") for number in range(3001)}
    file = open_file(write_nodes(tmp_path / DATABASE, entries))

    assert [key for key, _ in file.entries()] == list(entries)
    assert file.position == file.size == 3001


@pytest.mark.parametrize("statement", ["", "PRAGMA wal_checkpoint(TRUNCATE)", "BEGIN EXCLUSIVE"])
def test_a_running_gateway_is_read_without_a_trace(tmp_path: Path, statement: str) -> None:
    """No byte of its three files changes; the latest commit is seen, and no open transaction."""
    path = write_nodes(tmp_path / "agent" / DATABASE, ONE)
    insert = "INSERT INTO session_nodes VALUES ('agent:main:b', 'id-b', '{}', 1, 3)"
    more = [statement, insert.replace("b'", "c'")] if statement.startswith("BEGIN") else [statement]
    with running_gateway(path, insert, *more):
        before = files(path.parent)
        found = ids(path)

        assert found == {"agent:main:a": "id-a", "agent:main:b": "id-b"}
        assert files(path.parent) == before
        assert len(before) == 3


def test_a_gateway_that_was_killed_is_read_without_a_trace(tmp_path: Path) -> None:
    """Its -wal and -shm stay as they are."""
    path = write_nodes(tmp_path / "agent" / DATABASE, ONE)
    with running_gateway(path, "INSERT INTO session_nodes VALUES ('agent:main:b', 'id-b', '{}', 1, 3)"):
        pass
    before = files(path.parent)

    assert list(ids(path)) == ["agent:main:a", "agent:main:b"]
    assert files(path.parent) == before


COPIES = {"the database alone": ([""], 1), "with its -wal": (["", "-wal"], 2), "with both": (["", "-wal", "-shm"], 2)}


@pytest.mark.parametrize("is_writable", [True, False], ids=["writable", "read-only"])
@pytest.mark.parametrize(("suffixes", "count"), COPIES.values(), ids=COPIES)
def test_a_copy_is_read_without_a_trace(tmp_path: Path, suffixes: list[str], count: int, is_writable: bool) -> None:
    """In a directory that can be written, and in one that cannot; the copy itself is read."""
    path = write_nodes(tmp_path / "agent" / DATABASE, ONE)
    insert = "INSERT INTO session_nodes VALUES ('agent:main:b', 'id-b', '{}', 1, 3)"
    with public_directory() as directory, running_gateway(path, insert):
        for suffix in suffixes:
            copy = directory / f"{DATABASE}{suffix}"
            copy.write_bytes(path.with_name(copy.name).read_bytes())
            copy.chmod(0o666 if is_writable else 0o444)
        before = files(directory)
        directory.chmod(0o777 if is_writable else 0o555)
        with another_user():
            found = ids(directory / DATABASE)
        directory.chmod(0o755)

        assert len(found) == count
        assert files(directory) == before


def test_a_link_is_read_where_it_leads(tmp_path: Path) -> None:
    """The -wal lies there."""
    path = write_nodes(tmp_path / "agent" / DATABASE, ONE)
    link = tmp_path / DATABASE
    link.symlink_to(path)
    with running_gateway(path, "INSERT INTO session_nodes VALUES ('agent:main:b', 'id-b', '{}', 1, 3)"):
        assert len(ids(link)) == 2


EXCLUSIVE = "PRAGMA locking_mode = exclusive"
LOCKS = {
    "for itself alone": [EXCLUSIVE, "BEGIN EXCLUSIVE"],
    "without a WAL": ["PRAGMA journal_mode = delete", "BEGIN EXCLUSIVE"],
}


@pytest.mark.parametrize("statements", LOCKS.values(), ids=LOCKS)
@pytest.mark.usefixtures("brief")
def test_a_locked_database_says_so(tmp_path: Path, statements: list[str]) -> None:
    """And 75 tells a script to come back."""
    path = write_nodes(tmp_path / DATABASE, ONE)
    opened = ["PRAGMA journal_mode = delete", EXCLUSIVE, "PRAGMA journal_mode = wal"]
    with running_gateway(path, *(opened if EXCLUSIVE in statements else []), *statements):
        result = command("import", "openclaw", str(path), "--store", f"disk://{tmp_path}/store")

    assert result.exit_code == 75
    assert f"{path} is locked by another process; try again" in result.stderr


@pytest.mark.usefixtures("brief")
def test_a_database_that_changes_meanwhile_is_locked(tmp_path: Path) -> None:
    """A gateway that starts while a database without a -wal is being read."""
    path = write_nodes(tmp_path / DATABASE, ONE)
    file = open_file(path)
    reading = file.entries()
    next(reading)
    with running_gateway(path, "DELETE FROM session_nodes"), pytest.raises(Locked):
        next(reading)


def test_a_lock_that_ends_in_time_is_waited_for(tmp_path: Path) -> None:
    """As SQLite does."""
    path = write_nodes(tmp_path / DATABASE, ONE)
    opened = ["PRAGMA journal_mode = delete", EXCLUSIVE, "PRAGMA journal_mode = wal", "BEGIN EXCLUSIVE"]
    with running_gateway(path, *opened) as gateway:
        waited = iter([gateway.kill])

        def pause(seconds: float) -> None:
            next(waited, lambda: None)()
            gateway.wait()

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(database.time, "sleep", pause)
            assert len(ids(path)) == 1


def _truncated(path: Path) -> None:
    write_nodes(path, {f"agent:main:{number}": entry("id") for number in range(2000)})
    path.write_bytes(path.read_bytes()[:8192])


def _hot(path: Path) -> None:
    """A database that was killed in the middle of a write, with more pages changed than fit into its cache."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE session_nodes (session_key, current_session_id, entry_json, updated_at)")
        numbers = range(3000)
        connection.executemany(
            "INSERT INTO session_nodes VALUES (?, 'id', ?, 1)", ((str(n), "x" * 900) for n in numbers)
        )
    work = path.with_name("at-work.sqlite")
    shutil.copy(path, work)
    statements = (
        "PRAGMA journal_mode = delete",
        "PRAGMA cache_size = 10",
        "BEGIN",
        "UPDATE session_nodes SET entry_json = 'y'",
    )
    with running_gateway(work, *statements):
        for suffix in ("", "-journal"):
            shutil.copy(f"{work}{suffix}", f"{path}{suffix}")


def _other_table(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (x)")


FAILURES: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "missing": (DATABASE, lambda path: None, r"cannot be read \(No such file or directory\); name the gateway's home"),
    "empty": (DATABASE, lambda path: path.touch(), "is empty: it has no tables yet; start its gateway once"),
    "an empty file": ("sessions.json", lambda path: path.touch(), "is not JSON as a whole"),
    "text": (DATABASE, lambda path: path.write_text("{}" * 999), "is not a SQLite database; name the"),
    "damaged": (DATABASE, lambda path: path.write_bytes(b"SQLite format 3\0" + b"x" * 4096), "damaged or encrypted"),
    "truncated": (DATABASE, _truncated, r"is damaged \(database disk image is malformed\)"),
    "another": (
        DATABASE,
        _other_table,
        "an unknown schema without",
    ),
    "in a write": (DATABASE, _hot, "was left in the middle of a write; start its gateway once"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "make", "message"), FAILURES.values(), ids=FAILURES)
def test_a_failure_states_its_cause(tmp_path: Path, name: str, make: Callable[[Path], object], message: str) -> None:
    """And how it is mended."""
    make(tmp_path / name)
    with pytest.raises(Unreadable, match=message) as raised:
        list(open_file(tmp_path / name).entries())

    assert str(raised.value).startswith(str(tmp_path / name))


@pytest.mark.parametrize(("name", "write"), [("sessions.json", write_json), (DATABASE, write_nodes)])
def test_a_file_of_another_user_states_its_cause(name: str, write: Callable[..., Path]) -> None:
    """Nothing can be read, so nothing is guessed."""
    with public_directory() as directory:
        path = write(directory / name, ONE)
        path.chmod(0)
        with another_user(), pytest.raises(Unreadable, match=r"cannot be read \(Permission denied\); run this as the"):
            open_file(path)


def test_a_wal_of_another_user_states_its_cause(tmp_path: Path) -> None:
    """The latest commits are in it."""
    path = write_nodes(tmp_path / "agent" / DATABASE, ONE)
    with public_directory() as directory, running_gateway(path, "DELETE FROM session_nodes"):
        for suffix, mode in (("", 0o444), ("-wal", 0o000), ("-shm", 0o444)):
            copy = directory / f"{DATABASE}{suffix}"
            copy.write_bytes(path.with_name(copy.name).read_bytes())
            copy.chmod(mode)
        with (
            another_user(),
            pytest.raises(Unreadable, match=r"cannot be read \(unable to open database file\); run this"),
        ):
            ids(directory / DATABASE)


def test_a_copy_that_cannot_be_copied_again_states_its_cause(tmp_path: Path) -> None:
    """Its -wal is another user's."""
    path = write_nodes(tmp_path / "agent" / DATABASE, ONE)
    with public_directory() as directory, running_gateway(path, "DELETE FROM session_nodes"):
        for suffix, mode in (("", 0o444), ("-wal", 0o000)):
            copy = directory / f"{DATABASE}{suffix}"
            copy.write_bytes(path.with_name(copy.name).read_bytes())
            copy.chmod(mode)
        with another_user(), pytest.raises(Unreadable, match=r"cannot be copied to be read \(Permission denied\)"):
            ids(directory / DATABASE)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """The home of a gateway with agents of both generations, and others."""
    agents = tmp_path / "home" / "agents"
    for agent in ("work", "both", "neither"):
        (agents / agent / "sessions").mkdir(parents=True)
    write_nodes(agents / "main" / "agent" / DATABASE, {"agent:main:a": entry("id-main")})
    write_json(agents / "work" / "sessions" / "sessions.json", {"bare": entry("id-work")})
    write_json(agents / "both" / "sessions" / "sessions.json", {"agent:both:a": entry("id-old")})
    write_nodes(agents / "both" / "agent" / DATABASE, {"agent:both:a": entry("id-new")})
    yield agents.parent


def test_the_stores_of_all_agents_are_found(home: Path) -> None:
    """The first agent first; the database where there is one."""
    found = find_stores(home).found

    assert [(each.agent, each.path.name, each.older is not None) for each in found] == [
        ("main", DATABASE, False),
        ("both", DATABASE, True),
        ("work", "sessions.json", False),
    ]


PLACES = {
    ".": ["main", "both", "work"],
    "agents": ["main", "both", "work"],
    "agents/both": ["both"],
    "agents/both/agent": ["both"],
    "agents/both/sessions": ["both"],
    "agents/work/../main": ["main"],
    "agents/main/agent/openclaw-agent.sqlite": ["main"],
    "agents/work/sessions/sessions.json": ["work"],
}


@pytest.mark.parametrize(("path", "agents"), PLACES.items(), ids=PLACES)
def test_the_agent_of_a_store_is_known_from_its_place(home: Path, path: str, agents: list[str]) -> None:
    """A home, a part of one, or a file."""
    assert [each.agent for each in find_stores(home / path).found] == agents


def test_a_directory_with_a_store_alone_is_read(tmp_path: Path) -> None:
    """Of an agent that nothing names."""
    path = write_json(tmp_path / "sessions.json", ONE)

    assert find_stores(tmp_path).found == [AgentStore(None, path)]


def test_the_current_directory_is_a_path_like_any_other(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the names above it."""
    monkeypatch.chdir(home / "agents" / "work")

    assert [each.agent for each in find_stores(Path()).found] == ["work"]


def test_directories_that_are_no_agents_are_skipped(home: Path) -> None:
    """With the reason; a link to another agent is the same store, a link elsewhere is one of its own."""
    agents = home / "agents"
    write_nodes(agents / "My Agent" / "agent" / DATABASE, ONE)
    write_nodes(home / "elsewhere" / "agent" / DATABASE, ONE)
    (agents / "linked").symlink_to(home / "elsewhere")
    (agents / "again").symlink_to(agents / "main")
    (agents / "loop").symlink_to(agents / "loop")
    (agents / "notes.txt").touch()
    stores = find_stores(home)

    assert [each.agent for each in stores.found] == ["main", "both", "linked", "work"]
    assert [(path.name, reason) for path, reason in stores.skipped] == [
        ("My Agent", "its name is no agent id"),
        ("again", "it is the same directory as main"),
    ]


def test_a_directory_without_stores_says_where_they_would_be(tmp_path: Path) -> None:
    """And names a directory that was skipped."""
    write_nodes(tmp_path / "agents" / "no agent" / "agent" / DATABASE, ONE)
    with pytest.raises(Unreadable, match="no agent was skipped: its name is no agent id; name the gateway's home"):
        find_stores(tmp_path)


def test_a_file_in_a_directory_with_an_odd_name_belongs_to_no_agent(tmp_path: Path) -> None:
    """It is read all the same."""
    path = write_nodes(tmp_path / "agents" / "no agent" / "agent" / DATABASE, ONE)

    assert find_stores(path).found == [AgentStore(None, path)]


def test_directories_of_another_user_state_their_cause() -> None:
    """Neither are they empty."""
    with public_directory() as directory:
        write_nodes(directory / "agents" / "main" / "agent" / DATABASE, ONE)
        (directory / "agents" / "main" / "agent").chmod(0)
        with another_user():
            (store,) = find_stores(directory).found
            with pytest.raises(Unreadable, match="Permission denied"):
                open_newest(store)
        (directory / "agents").chmod(0)
        with another_user(), pytest.raises(Unreadable, match=r"agents cannot be listed \(Permission denied\)"):
            find_stores(directory)
        (directory / "agents").chmod(0o755)
        (directory / "agents" / "main" / "agent").chmod(0o755)


HALF = {
    "never used": (lambda path: path.touch(), "old", "holds no sessions"),
    "of other things": (_other_table, "old", "holds no sessions"),
    "not migrated": (lambda path: write_nodes(path), "old", "holds no sessions yet"),
    "only removed rows": (lambda path: write_nodes(path, nodes=[("k", "x", "{}", -1, 1)]), "old", "no sessions yet"),
    "migrated": (lambda path: write_nodes(path, {"k": entry("new")}), "new", "is older and was not read"),
    "of a beta": (lambda path: write_sqlite(path, {"k": entry("new")}), "new", "is older and was not read"),
}


@pytest.mark.parametrize(("make", "session_id", "remark"), HALF.values(), ids=HALF)
def test_of_two_generations_the_newest_with_sessions_counts(
    tmp_path: Path, make: Callable[[Path], object], session_id: str, remark: str
) -> None:
    """And it is said which one was not read."""
    agent = tmp_path / "agents" / "main"
    for name in ("agent", "sessions"):
        (agent / name).mkdir(parents=True)
    make(agent / "agent" / DATABASE)
    write_json(agent / "sessions" / "sessions.json", {"k": entry("old")})
    (store,) = find_stores(tmp_path).found
    file, _, said = open_newest(store)

    assert [fields["sessionId"] for _, fields in file.entries()] == [session_id]
    assert remark in str(said)


def test_a_damaged_database_is_not_replaced_by_an_older_file(tmp_path: Path) -> None:
    """Its sessions are newer, even if nothing can read them."""
    agent = tmp_path / "agents" / "main"
    for name in ("agent", "sessions"):
        (agent / name).mkdir(parents=True)
    (agent / "agent" / DATABASE).write_text("garbage")
    write_json(agent / "sessions" / "sessions.json", {"k": entry("old")})
    (store,) = find_stores(tmp_path).found

    with pytest.raises(Unreadable, match="is not a SQLite database"):
        open_newest(store)


HOMES = {
    "nothing": ({}, [".openclaw"], ".openclaw"),
    "nothing yet": ({}, [], ".openclaw"),
    "a former name": ({}, [".clawdbot"], ".clawdbot"),
    "both names": ({}, [".clawdbot", ".openclaw"], ".openclaw"),
    "its state": ({"OPENCLAW_STATE_DIR": " ~/state "}, [".openclaw"], "state"),
    "its state by a path": ({"OPENCLAW_STATE_DIR": "/srv/state"}, [], "/srv/state"),
    "another home": ({"OPENCLAW_HOME": "/srv/claw"}, [], "/srv/claw/.openclaw"),
    "another home below": ({"OPENCLAW_HOME": "~"}, [], ".openclaw"),
    "empty": ({"OPENCLAW_STATE_DIR": " ", "OPENCLAW_HOME": ""}, [], ".openclaw"),
}


@pytest.mark.parametrize(("environ", "made", "expected"), HOMES.values(), ids=HOMES)
def test_the_home_is_the_one_of_a_gateway_in_this_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], made: list[str], expected: str
) -> None:
    """By the gateway's own rules."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in made:
        (tmp_path / name).mkdir()

    assert default_home(environ) == tmp_path / expected


def test_all_agents_are_imported_at_once(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the home of this environment, with a line for each."""
    monkeypatch.setenv("OPENCLAW_STATE_DIR", str(home))
    url = f"disk://{tmp_path}/store"
    dry = json.loads(command("import", "openclaw", "--store", url, "--dry-run", "--json").stdout)
    result = command("import", "openclaw", "--store", url)

    assert [(each["agent"], each["entries"], each["adopted"], each["kind"]) for each in dry["agents"]] == [
        ("main", 1, 1, "schema 23"),
        ("both", 1, 1, "schema 23"),
        ("work", 1, 1, "sessions.json"),
    ]
    assert (dry["entries"], dry["adopted"], result.exit_code) == (3, 3, 0)
    assert f"\n  work: 1 entries, 1 adopted ({home}/agents/work/sessions/sessions.json; sessions.json)" in result.stdout
    assert "sessions.json is older and was not read" in result.stdout
    assert {key: row.session_id for key, row in rows(DiskStore(tmp_path / "store")).items()} == {
        "default//agent:main:a": "id-main",
        "default//agent:both:a": "id-new",
        "default//agent:work:bare": "id-work",
    }


@pytest.mark.parametrize(("is_locked", "code"), [(False, 1), (True, 75)], ids=["damaged", "locked"])
@pytest.mark.usefixtures("brief")
def test_agents_that_cannot_be_read_leave_the_others(home: Path, tmp_path: Path, is_locked: bool, code: int) -> None:
    """They are named with the cause, and the exit code tells whether to try again."""
    path = home / "agents" / "main" / "agent" / DATABASE
    opened = ["PRAGMA journal_mode = delete", EXCLUSIVE, "PRAGMA journal_mode = wal", "BEGIN EXCLUSIVE"]
    with contextlib.ExitStack() as stack:
        if is_locked:
            stack.enter_context(running_gateway(path, *opened))
        else:
            path.write_text("garbage")
        result = command("import", "openclaw", str(home), "--store", f"disk://{tmp_path}/store")

    assert result.exit_code == code
    assert result.stdout.startswith("2 entries for ")
    assert f"  main: failed: {path} is " in result.stdout


def test_an_odd_agent_is_named_in_the_report(home: Path, tmp_path: Path) -> None:
    """It was not read."""
    write_nodes(home / "agents" / "no agent" / "agent" / DATABASE, ONE)
    result = command("import", "openclaw", str(home), "--store", f"disk://{tmp_path}/store")

    assert f"  {home}/agents/no agent was skipped: its name is no agent id" in result.stdout


def test_an_agent_cannot_be_named_for_several(home: Path, tmp_path: Path) -> None:
    """Each is known from its place."""
    result = command("import", "openclaw", str(home), "--agent", "ops", "--store", f"disk://{tmp_path}/store")

    assert result.exit_code == 2
    assert "--agent is for a single file, and there are stores of main, both, work; leave it out" in result.stderr


@pytest.mark.parametrize(("options", "agent"), [([], "main"), (["--agent", "Ops"], "ops")])
def test_the_agent_of_a_loose_database_is_the_one_it_names(tmp_path: Path, options: list[str], agent: str) -> None:
    """Unless the command names another one."""
    path = write_nodes(tmp_path / DATABASE, {"bare": entry("id")})
    command("import", "openclaw", str(path), *options, "--store", f"disk://{tmp_path}/store")

    assert list(rows(DiskStore(tmp_path / "store"))) == [f"default//agent:{agent}:bare"]
