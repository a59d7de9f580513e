"""`doctor --transcripts`: forks in the stores of a gateway, told from resets, of both generations."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from gateway import DATABASE, SAMPLES, another_user, entry, public_directory, running_gateway, write_json, write_nodes
from operators import command

from sessionguard import Verdict
from sessionguard.cli.doctor.transcripts import check
from sessionguard.cli.gateway import database

GREEN, YELLOW, RED = Verdict.GREEN, Verdict.YELLOW, Verdict.RED
NOW = 1_796_000_000_000
MINUTE = 60_000


def found(path: Path) -> list[tuple[Verdict, str]]:
    return [(each.verdict, each.says) for each in check(path)]


def verdicts(path: Path) -> list[Verdict]:
    return [each.verdict for each in check(path)]


def stamp(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(seconds))


def transcript(directory: Path, session_id: str, began: int, ended: int | None, key: str | None = None) -> Path:
    """A transcript with its trajectory, if there is a key for it; times are seconds since the epoch."""
    path = directory / f"{session_id}.jsonl"
    lines = [{"type": "session", "version": 3, "id": session_id, "timestamp": stamp(began), "cwd": "/"}]
    lines += [] if ended is None else [{"type": "message", "timestamp": stamp(ended)}]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    if key is not None:
        start = {"type": "session.started", "ts": stamp(began), "sessionId": session_id, "sessionKey": key}
        path.with_suffix(".trajectory.jsonl").write_text(f"{json.dumps(start)}\n")
    return path


@pytest.mark.parametrize(
    ("release", "expected"),
    [
        (
            "2026.5.20",
            "agent:main:t-bare-old.c0n2r0.85486 had two sessions at once: 0572a4d7-6258-4b6e-964f-1a6d7fb50635 (began"
            " 2026-12-01 00:38:07 UTC) and 38ff720d-cd03-43a2-959f-7f360f5974ff (began 2026-12-01 00:38:11 UTC)",
        ),
        (
            "2026.7.35",
            "agent:main:t-b2026.7.35.c0n2r0.91326 had two sessions at once: 9fc32a57-73cd-4069-8dc6-43bff8a25654 (began"
            " 2026-12-01 02:15:26 UTC) and 8e509c66-9aa4-4ab0-8e5f-5ffd496ed7ad (began 2026-12-01 02:15:27 UTC)",
        ),
    ],
)
def test_the_forks_of_real_releases_are_red_and_exact(tmp_path: Path, release: str, expected: str) -> None:
    """Both sessions and when each began, even if a copy has changed the times of the files."""
    copy = Path(shutil.copytree(SAMPLES / release, tmp_path / "copy", copy_function=shutil.copyfile))

    assert found(copy) == [(RED, expected)]


def test_a_fork_says_which_session_goes_on() -> None:
    """And the place to look for the lost messages."""
    (fork,) = check(SAMPLES / "2026.7.35")

    assert fork.cure is not None
    assert fork.cure.startswith(
        "9fc32a57-73cd-4069-8dc6-43bff8a25654 goes on; look for lost messages in the transcript of"
        " 8e509c66-9aa4-4ab0-8e5f-5ffd496ed7ad; put SessionGuard in front"
    )


def test_a_database_of_a_real_release_without_forks_is_green() -> None:
    """It serialises the turns of a session."""
    assert found(SAMPLES / "2026.9.6") == [(GREEN, "5 sessions, no two at work under one key")]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """The sessions of an older gateway, all well: two keys, and one that was reset."""
    current = {"a": (1_000_000, 1_000_500), "b": (1_100_000, 1_100_500)}
    entries = {f"agent:main:{key}": entry(key, at * 1000, end * 1000) for key, (at, end) in current.items()}
    write_json(tmp_path / "sessions.json", {**entries, "agent:main:cron:x": entry("run", 1, 2), "odd": None})
    for key, (at, end) in current.items():
        transcript(tmp_path, key, at, end, key)
    transcript(tmp_path, "before-b", 900_000, 1_100_000, "B")
    transcript(tmp_path, "nobody's", 500_000, 500_100)
    transcript(tmp_path, "run", 1_000_000, 1_000_500, "agent:main:cron:x")
    for name, text in {"noise": "no JSON\n", "list": "[]\n", "undated": '{"type": "session", "id": "x"}\n'}.items():
        (tmp_path / f"{name}.jsonl").write_text(text)
    (tmp_path / "a.checkpoint.1.jsonl").write_text((tmp_path / "before-b.jsonl").read_text())
    return tmp_path


def test_files_that_are_well_are_green(files: Path) -> None:
    """A session that ended when the next began was reset; the gateway's own runs are no conversations."""
    assert found(files) == [(GREEN, "4 sessions, no two at work under one key")]


def test_a_session_that_began_during_another_is_red(files: Path) -> None:
    """Its trajectory names the key."""
    transcript(files, "fork-of-b", 1_100_200, 1_100_400, "agent:main:B")
    ((verdict, says),) = found(files)

    assert verdict is RED
    assert says.startswith("agent:main:b had two sessions at once: b (began 1970-01-13 17:33:20 UTC) and fork-of-b (")


def test_a_session_that_a_row_began_before_its_transcript_is_known(files: Path) -> None:
    """The turns of a fork run one after another, and the row tells that both were there."""
    write_json(files / "sessions.json", {"c": entry("won", 2_000_000_000, 2_000_090_000)})
    transcript(files, "lost", 2_000_001, 2_000_002, "c")
    transcript(files, "won", 2_000_080, 2_000_090, "c")

    assert RED in verdicts(files)


def test_a_successor_that_the_entry_names_is_no_fork(files: Path) -> None:
    """A compaction begins a session while the one before it is at work."""
    family = {"usageFamilySessionIds": ["old", "new"]}
    write_json(files / "sessions.json", {"c": entry("new", 2_000_010_000, 2_000_090_000, **family)})
    transcript(files, "old", 2_000_000, 2_000_020, "c")
    transcript(files, "new", 2_000_010, 2_000_090, "c")

    assert verdicts(files) == [GREEN]


def test_one_key_in_two_spellings_with_two_ids_is_red(files: Path) -> None:
    """The gateway has taken them for two."""
    write_json(files / "sessions.json", {"agent:main:z": entry("one", 1, 2), "Z": entry("two", 10**9, 10**9)})
    ((verdict, says),) = found(files)

    assert verdict is RED
    assert says.startswith("agent:main:z had two sessions at once: one (began 1970-01-01 00:00:00 UTC) and two (")


def test_a_key_that_the_guard_refuses_is_compared_as_it_is(files: Path) -> None:
    """The gateway accepts it."""
    for name in ("one", "two"):
        transcript(files, name, 2_000_000, 2_000_010, "a b")

    assert "a b had two sessions at once: one" in found(files)[0][1]


def test_a_session_of_no_key_that_began_with_another_is_yellow(files: Path) -> None:
    """Nothing names its key, so it may be a fork of its neighbour."""
    transcript(files, "lost", 1_000_030, 1_000_400)
    ((verdict, says),) = found(files)

    assert verdict is YELLOW
    assert says.startswith("lost (began 1970-01-12 13:47:10 UTC) belongs to no known key, and began together with a (")


def test_two_sessions_of_no_key_that_began_together_are_yellow(files: Path) -> None:
    """Neither has a key."""
    for name in ("one", "two"):
        transcript(files, name, 2_000_000, 2_000_010)

    assert verdicts(files) == [YELLOW, YELLOW]


def test_the_time_of_a_file_stands_in_for_its_lines(files: Path) -> None:
    """Where they have none."""
    path = transcript(files, "long", 2_000_000, None, "d")
    path.write_text(path.read_text().replace('"timestamp"', '"ts"') + "{}\n" * 30_000)
    os.utime(path, (2_000_500, 2_000_500))
    transcript(files, "later", 2_000_400, 2_000_410, "d")

    assert verdicts(files) == [RED]


def test_many_forks_are_counted(tmp_path: Path) -> None:
    """Ten are shown."""
    entries = {f"{letter}{number}": entry(letter) for number in range(13) for letter in "kK"}
    write_json(tmp_path / "sessions.json", {key: {**each, "sessionId": key} for key, each in entries.items()})
    transcript(tmp_path, "other", 1_000_000, 1_000_001)
    result = list(check(tmp_path))

    assert [each.verdict for each in result] == [RED] * 10 + [YELLOW]
    assert result[-1].says == "3 more of these"


Window = tuple[str, str | None, str | None, int, int]
LINEAGES: dict[str, tuple[Sequence[Window], bool]] = {
    "a race": ([("one", None, None, 0, 9), ("two", None, None, 3, 12)], True),
    "a race that ended at once": ([("one", None, "initial", 0, 2), ("two", None, "initial", 5, 9)], True),
    "a race of two resets": (
        [("one", None, None, 0, 9), ("two", "one", "reset", 9, 20), ("three", "one", "reset", 10, 30)],
        True,
    ),
    "a fork by its reason": ([("one", None, None, 0, 9), ("two", "one", "fork", 3, 12)], True),
    "a reset": ([("one", None, "initial", 0, 9), ("two", "one", "reset", 8, 12)], False),
    "a reset without a reason": ([("one", None, None, 0, 9), ("two", "one", None, 8, 12)], False),
    "a rollover without the one before": ([("one", None, None, 0, 9), ("two", None, "rollover", 8, 12)], False),
    "two resets": (
        [("one", None, None, 0, 30), ("two", "one", "reset", 8, 12), ("three", "two", "reset", 12, 30)],
        False,
    ),
    "a reset of one that is gone": ([("one", None, None, 0, 9), ("three", "two", None, MINUTE, MINUTE)], False),
    "a circle": ([("one", "two", None, 0, 9), ("two", "one", None, 8, 12)], False),
    "a circle of others": (
        [("one", "two", None, 0, 1), ("two", "one", None, 0, 1), ("three", "two", None, 0, 5), ("x", None, None, 0, 9)],
        True,
    ),
    "one after the other": ([("one", None, None, 0, 9), ("two", None, None, MINUTE, MINUTE + 9)], False),
}


def windows(rows: Sequence[Window], key: str = "agent:main:k") -> list[tuple[Any, ...]]:
    return [(id_, key, previous, reason, NOW + began, NOW + ended) for id_, previous, reason, began, ended in rows]


@pytest.mark.parametrize(("rows", "is_fork"), LINEAGES.values(), ids=LINEAGES)
def test_the_lineage_tells_a_reset_from_a_fork(tmp_path: Path, rows: Sequence[Window], is_fork: bool) -> None:
    """The session before, and the reason."""
    write_nodes(tmp_path / DATABASE, windows=windows(rows))

    assert set(verdicts(tmp_path)) == {RED if is_fork else GREEN}


def test_two_spellings_in_a_database_are_red(tmp_path: Path) -> None:
    """Whenever they began; both are current."""
    entries = {"agent:main:k": entry("one"), "K": entry("two")}
    rows = [*windows([("one", None, None, 0, 9)]), *windows([("two", None, None, 10**9, 10**9)], "K")]
    write_nodes(tmp_path / DATABASE, entries, windows=rows)
    (fork,) = check(tmp_path)

    assert (fork.verdict, str(fork.cure).partition(";")[0]) == (
        RED,
        "look for lost messages in the transcript of each",
    )


def test_windows_without_times_or_of_own_runs_are_left_out(tmp_path: Path) -> None:
    """Nothing can be said of them."""
    rows = [*windows([("a", None, None, 0, 9), ("b", None, None, 1, 9)], "agent:main:cron:x")]
    rows += [("c", "k", None, None, None, 5), ("d", "k", None, None, 5, None)]
    write_nodes(tmp_path / DATABASE, windows=rows)

    assert found(tmp_path) == [(GREEN, "1 sessions, no two at work under one key")]


@pytest.mark.parametrize(("began", "verdict"), [(8, RED), (9, GREEN)])
def test_without_a_lineage_only_sessions_at_work_together_are_red(tmp_path: Path, began: int, verdict: Verdict) -> None:
    """One that ended when the next began may have been reset."""
    rows = windows([("one", None, None, 0, 9), ("two", None, None, began, 20)])
    write_nodes(tmp_path / DATABASE, windows=rows, without=["previous_session_id", "reason"])

    assert verdicts(tmp_path) == [verdict]


def test_forks_are_found_in_the_database_of_a_beta(tmp_path: Path) -> None:
    """Its tables have other names; a long session is at work beside all that came within it."""
    with contextlib.closing(sqlite3.connect(tmp_path / DATABASE, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE session_entries (session_key, session_id, entry_json, updated_at)")
        connection.execute("CREATE TABLE sessions (session_id, session_key, created_at, updated_at)")
        sessions = [("one", "K", 100, 900), ("two", "k", 200, 300), ("three", "k", 400, 500), ("four", "k", 900, 950)]
        connection.executemany("INSERT INTO sessions VALUES (?, ?, ?, ?)", sessions)

    assert [(verdict, says.count("one (began"), says.count("four (began")) for verdict, says in found(tmp_path)] == [
        (RED, 1, 0)
    ] * 2


def _at(path: Path, make: Callable[[Path], object]) -> None:
    path.parent.mkdir(parents=True)
    make(path)


BLIND: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "nothing": ("sub/x", lambda path: path.touch(), "not looked at: {} holds no session store"),
    "text": (f"a/{DATABASE}", lambda path: path.write_text("x" * 99), "not looked at: {}/a/"),
    "damaged": ("a/sessions.json", lambda path: path.write_text("{"), "not looked at: {}/a/sessions.json is not JSON"),
    "no transcripts": (
        "a/sessions.json",
        lambda path: path.write_text("{}"),
        "holds no transcripts, and forks are seen",
    ),
    "no sessions": (f"a/{DATABASE}", write_nodes, "openclaw-agent.sqlite holds no sessions yet"),
    "no windows": (
        f"a/{DATABASE}",
        lambda path: write_nodes(path, {"k": entry("x")}, without=["created_at"]),
        "has schema 23, without session_windows.created_at",
    ),
}


@pytest.mark.parametrize(("name", "make", "says"), BLIND.values(), ids=BLIND)
def test_where_nothing_could_be_looked_at_is_yellow(
    tmp_path: Path, name: str, make: Callable[[Path], object], says: str
) -> None:
    """With the reason, and never green."""
    _at(tmp_path / name, make)
    ((verdict, said),) = found(tmp_path if name.startswith("sub") else tmp_path / "a")

    assert verdict is YELLOW
    assert says.format(tmp_path) in said


def test_no_directory_is_yellow(tmp_path: Path) -> None:
    """The command says where it would look."""
    result = command("doctor", "--store", f"disk://{tmp_path}/s", "--transcripts", str(tmp_path / "none"), "--json")
    (said,) = [each for each in json.loads(result.stdout) if each["subject"] == "transcripts"]

    assert (said["verdict"], result.exit_code) == ("yellow", 0)
    assert "none cannot be read (No such file or directory); name the gateway's home" in said["says"]


def test_a_locked_database_is_yellow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And is looked at later."""
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.1)
    path = write_nodes(tmp_path / DATABASE, windows=windows([("one", None, None, 0, 9)]))
    with running_gateway(path, "PRAGMA journal_mode = delete", "BEGIN EXCLUSIVE"):
        ((verdict, says),) = found(tmp_path)

    assert verdict is YELLOW
    assert "is locked by another process" in says


def test_a_transcript_that_cannot_be_read_is_yellow() -> None:
    """The others are looked at."""
    with public_directory() as directory:
        write_json(directory / "sessions.json", {})
        transcript(directory, "one", 1_000, 2_000)
        transcript(directory, "two", 90_000, 91_000).chmod(0)
        with another_user():
            ((verdict, says),) = found(directory)

    assert verdict is YELLOW
    assert says.endswith("two.jsonl cannot be read (Permission denied)")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with an agent that was migrated and has transcripts of before, and one with files."""
    agents = tmp_path / "agents"
    rows = windows([("x", None, None, 0, 9)])
    write_nodes(agents / "main" / "agent" / DATABASE, {"k": entry("x")}, windows=rows)
    for agent in ("main", "work"):
        (agents / agent / "sessions").mkdir(parents=True)
        transcript(agents / agent / "sessions", "one", 1_000, 2_000, "a")
    write_json(agents / "work" / "sessions" / "sessions.json", {"a": entry("one", 1_000_000, 2_000_000)})
    return tmp_path


def test_every_agent_is_looked_at(home: Path) -> None:
    """In both generations, where an agent has both."""
    assert found(home) == [
        (GREEN, "main: 2 sessions, no two at work under one key"),
        (GREEN, "work: 1 sessions, no two at work under one key"),
    ]


def test_forks_from_before_a_migration_are_red(home: Path) -> None:
    """Their transcripts are still there."""
    sessions = home / "agents" / "main" / "sessions"
    transcript(sessions, "two", 1_500, 1_600, "a")
    write_json(sessions / "sessions.json", {"a": entry("two", 1_500_000, 1_600_000)})

    assert verdicts(home) == [RED, GREEN]


def test_a_database_without_tables_leaves_the_files(home: Path) -> None:
    """Of an agent that has never been migrated."""
    database = home / "agents" / "work" / "agent" / DATABASE
    _at(database, lambda path: path.touch())

    assert verdicts(home) == [GREEN, GREEN]


def test_a_database_without_tables_and_files_is_yellow(tmp_path: Path) -> None:
    """There is nothing to look at."""
    _at(tmp_path / "agents" / "work" / "agent" / DATABASE, lambda path: path.touch())

    assert verdicts(tmp_path) == [YELLOW]


def test_an_agent_that_is_skipped_is_yellow(home: Path) -> None:
    """With the reason."""
    write_nodes(home / "agents" / "no agent" / "agent" / DATABASE)

    assert found(home)[-1][0] is YELLOW
    assert found(home)[-1][1].endswith("no agent was not looked at: its name is no agent id")
