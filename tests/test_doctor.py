"""`sessionguard doctor`: every check where all is well and where it is not, on real files, processes and servers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from live import LiveServer, free_port, uvicorn
from operators import command, fill, process, rows
from typer.testing import Result

from sessionguard import ConfigurationError, DiagnosableStore, Diagnosis, SessionRecord, Verdict, hookimpl
from sessionguard import plugins as plugins_module
from sessionguard.cli.doctor import clock, durability, filesystem, free_space, race, racer, server, sqlite_version
from sessionguard.cli.doctor import place as place_check
from sessionguard.cli.doctor.header import check as check_headers
from sessionguard.cli.doctor.start_method import check as check_start
from sessionguard.stores.disk.store import DiskStore
from sessionguard.stores.embedded import jobs, place
from sessionguard.stores.memory import MemoryStore
from sessionguard.stores.sqlite import SqliteStore

pytestmark = pytest.mark.once

GREEN, YELLOW, RED = Verdict.GREEN, Verdict.YELLOW, Verdict.RED
BY_THE_MACHINE = {"SQLite", "file system", "free space"}
"""What depends on where the tests run."""


class Practice:
    """A store, and the doctor who looks at it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "sessions"
        self.url = f"disk://{self.directory}"
        fill(DiskStore(self.directory), [("default//agent:main:a", SessionRecord("id", 1, 2))])

    def __call__(self, *options: str) -> Result:
        return command("doctor", "--store", self.url, *options)

    def found(self, *options: str) -> tuple[int, list[dict[str, Any]]]:
        result = self("--json", *options)
        return result.exit_code, json.loads(result.stdout)

    @property
    def keys(self) -> list[str]:
        return list(rows(DiskStore(self.directory)))


@pytest.fixture
def practice(tmp_path: Path) -> Practice:
    return Practice(tmp_path)


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """A race of two turns, against one process."""
    monkeypatch.setattr(race, "PROCESSES", 1)
    monkeypatch.setattr(race, "SECONDS", 0.1)


def verdicts(found: Sequence[Mapping[str, Any]]) -> set[tuple[str, str]]:
    """What was found, but for what depends on the machine."""
    return {(each["subject"], each["verdict"]) for each in found if each["subject"] not in BY_THE_MACHINE}


@pytest.mark.slow
def test_a_store_that_is_well_is_green_and_nothing_is_left_in_it(practice: Practice) -> None:
    """By a process of its own, which races on it with three more for two seconds."""
    run = process("doctor", "--store", practice.url, "--json")
    found = json.loads(run.stdout)
    elsewhere = {("store", "yellow")}  # Tests run in temporary directories, some in containers.

    assert run.returncode == 0, run.stdout
    assert verdicts(found) - elsewhere == {
        (subject, "green")
        for subject in ("plugins", "start of processes", "owner and mode", "journal", "store", "clock", "race")
    }
    assert "3 processes, 480 calls for 40 conversations: one id each" in run.stdout
    assert practice.keys == ["default//agent:main:a"]


@pytest.mark.slow
@pytest.mark.usefixtures("brief")
def test_the_report_is_lines_with_cures(practice: Practice, monkeypatch: pytest.MonkeyPatch) -> None:
    """A verdict, a subject, a sentence; and what to do. Yellow is a finding only for the strict."""
    monkeypatch.setattr("sqlite3.sqlite_version_info", (3, 40, 1))
    lenient, strict = practice(), practice("--strict")

    assert (lenient.exit_code, strict.exit_code) == (0, 1)
    assert "yellow  SQLite: version" in lenient.stdout
    assert "        cure: use a Python with SQLite 3.51.3 or newer" in lenient.stdout
    assert "green   journal: WAL, synchronous=full" in lenient.stdout


def one(found: Iterator[Diagnosis]) -> tuple[Verdict, str]:
    """The only finding: its verdict and all it says."""
    (diagnosis,) = found
    return diagnosis.verdict, f"{diagnosis.says}; {diagnosis.cure}"


def test_a_store_that_others_can_look_into_is_red(practice: Practice) -> None:
    """With the command that mends it; the race is not run on it."""
    practice.directory.chmod(0o755)
    code, found = practice.found()
    cures = [each["cure"] for each in found if each["subject"] == "owner and mode"]

    assert (code, cures) == (1, [f"chmod 700 {practice.directory}"])
    assert ("store", "red") in verdicts(found)
    assert "race" not in {each["subject"] for each in found}


def test_a_file_that_others_can_read_is_red(practice: Practice) -> None:
    """The database itself."""
    (practice.directory / "cache.db").chmod(0o644)
    verdict, says = one(place_check.check(practice.directory, "cache.db"))

    assert (verdict, says) == (
        RED,
        f"{practice.directory}/cache.db has the mode 644; chmod 600 {practice.directory}/cache.db",
    )


def test_a_link_in_place_of_a_directory_is_red(practice: Practice, tmp_path: Path) -> None:
    """Somebody else may point it elsewhere."""
    (tmp_path / "link").symlink_to(practice.directory)
    verdict, says = one(place_check.check(tmp_path / "link", "cache.db"))

    assert verdict is RED
    assert "name the real place" in says


def test_the_store_of_another_user_is_red(practice: Practice, monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual mistake of whoever runs the doctor as root."""
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    found = list(place_check.check(practice.directory, "cache.db"))

    assert [each.verdict for each in found] == [RED, RED]
    assert "and we are user 12345" in found[0].says


@pytest.mark.parametrize(
    ("kind", "allowed", "verdict"),
    [
        ("ext4", False, GREEN),
        ("nfs4", False, RED),
        ("fuse.sshfs", False, RED),
        ("nfs4", True, YELLOW),
        (None, False, YELLOW),
    ],
)
def test_the_file_system_must_be_of_this_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str | None, allowed: bool, verdict: Verdict
) -> None:
    """By what the kernel says of the mount."""
    mounts = tmp_path / "mountinfo"
    device = tmp_path.stat().st_dev
    if kind is not None:
        mounts.write_text(f"1 0 {os.major(device)}:{os.minor(device)} / / rw - {kind} source rw\n")
    monkeypatch.setattr(place, "MOUNTS", mounts)

    assert one(filesystem.check(tmp_path, network_allowed=allowed))[0] is verdict


@pytest.mark.parametrize(("least", "enough", "verdict"), [(0, 0, GREEN), (0, 2**70, YELLOW), (2**70, 2**70, RED)])
def test_a_disk_that_is_filling_up_is_told_before_it_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, least: int, enough: int, verdict: Verdict
) -> None:
    """The limits move here, since the disk cannot."""
    monkeypatch.setattr(free_space, "LEAST", least)
    monkeypatch.setattr(free_space, "ENOUGH", enough)

    assert one(free_space.check(tmp_path))[0] is verdict


@pytest.mark.parametrize(("version", "verdict"), [((3, 40, 1), YELLOW), ((3, 51, 2), YELLOW), ((3, 51, 3), GREEN)])
def test_an_sqlite_with_the_wal_reset_bug_is_yellow(
    monkeypatch: pytest.MonkeyPatch, version: tuple[int, ...], verdict: Verdict
) -> None:
    """Up to the version that mended it."""
    monkeypatch.setattr(sqlite3, "sqlite_version_info", version)

    assert one(sqlite_version.check())[0] is verdict


def test_a_journal_that_somebody_has_changed_is_red(practice: Practice) -> None:
    """Seen in the file itself."""
    with contextlib.closing(sqlite3.connect(practice.directory / "cache.db", isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = delete")

    assert one(durability.check(practice.directory / "cache.db", "full"))[0] is RED


@pytest.mark.slow
@pytest.mark.usefixtures("brief")
def test_a_store_that_does_not_wait_for_the_disk_is_yellow(practice: Practice) -> None:
    """As its URL says."""
    practice.url += "?synchronous=normal"
    _, found = practice.found()

    assert ("journal", "yellow") in verdicts(found)


def test_a_database_that_is_still_empty_is_well(tmp_path: Path) -> None:
    """The first worker has made the file and no more."""
    (tmp_path / "cache.db").touch()

    assert one(durability.check(tmp_path / "cache.db", "full"))[0] is GREEN


@pytest.fixture
def start_method(request: pytest.FixtureRequest) -> Iterator[str]:
    """Python starts processes in this way until the test ends."""
    before = multiprocessing.get_start_method(allow_none=True)
    multiprocessing.set_start_method(request.param, force=True)
    yield request.param
    multiprocessing.set_start_method(before, force=True)


@pytest.mark.parametrize(
    ("start_method", "store", "verdict"),
    [
        ("spawn", MemoryStore(), GREEN),
        ("fork", DiskStore("/nowhere"), GREEN),
        ("fork", SqliteStore("/nowhere"), GREEN),
        ("fork", MemoryStore(), YELLOW),
    ],
    indirect=["start_method"],
)
def test_a_fork_is_well_for_stores_that_are_known_to_stand_it(start_method: str, store: Any, verdict: Verdict) -> None:
    """Of others only their makers know."""
    assert one(check_start(store))[0] is verdict


@pytest.mark.parametrize(
    ("theirs", "verdict", "says"),
    [
        (10_050, GREEN, "agree to the second"),
        (9_000, GREEN, "agree to the second"),
        (8_999, YELLOW, "1.0 s behind ours"),
        (70_100, YELLOW, "60.0 s ahead of ours"),
        (70_101, RED, "60.0 s ahead of ours"),
    ],
)
def test_a_clock_is_judged_by_how_far_it_is_off_at_least(theirs: int, verdict: Verdict, says: str) -> None:
    """The time that the question takes is nobody's fault."""
    found = one(clock.judge(theirs, 10_000, 10_100))

    assert found[0] is verdict
    assert says in found[1]


def test_the_clock_of_the_store_is_asked() -> None:
    """One that is a day ahead is found."""
    store = MemoryStore(clock=lambda: int(time.time() * 1000) + 86_400_000)
    (found,) = asyncio.run(clock.check(store))

    assert found.verdict is RED


def test_blocked_plugins_are_yellow_and_a_guard_that_cannot_start_is_red(
    practice: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest is looked at all the same."""
    monkeypatch.setenv("SESSIONGUARD_DISABLED_PLUGINS", "openclaw")
    monkeypatch.setenv("SESSIONGUARD_WHETHER", "x")
    code, found = practice.found()
    says = {each["verdict"]: each["says"] for each in found if each["subject"] == "plugins"}

    assert code == 1
    assert says["yellow"].startswith("blocked: openclaw")
    assert "unknown sessionguard variable SESSIONGUARD_WHETHER" in says["red"]


@pytest.mark.parametrize("url", ["redis://127.0.0.1/0", "memory:"])
def test_a_store_that_nobody_can_open_is_red(url: str) -> None:
    """The error names the cure."""
    result = command("doctor", "--store", url, "--json")

    assert result.exit_code == 1
    assert ("store", "red") in verdicts(json.loads(result.stdout))


def test_a_store_that_is_not_there_yet_is_yellow_and_not_made(tmp_path: Path) -> None:
    """Made by the doctor, it could belong to the wrong user."""
    result = command("doctor", "--store", f"disk://{tmp_path}/sessions", "--json")

    assert result.exit_code == 0
    assert ("store", "yellow") in verdicts(json.loads(result.stdout))
    assert not (tmp_path / "sessions").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("brief")
def test_a_store_that_does_not_answer_is_tried_again_later(practice: Practice, monkeypatch: pytest.MonkeyPatch) -> None:
    """75 tells a script to come back; what was found is reported."""
    monkeypatch.setattr(jobs, "JOB_SECONDS", 0.2)
    with contextlib.closing(sqlite3.connect(practice.directory / "cache.db", isolation_level=None)) as intruder:
        intruder.execute("BEGIN IMMEDIATE")
        code, found = practice.found()

    assert code == 75
    assert {("store", "red"), ("journal", "green")} <= verdicts(found)
    assert practice.found()[0] == 0


class Talkative(MemoryStore, DiagnosableStore):
    """A store that says how its server is, passed off as one of a host."""

    coordination = "host"

    async def diagnose(self) -> Sequence[Diagnosis]:
        return [Diagnosis("weather", YELLOW, "it rains", "take an umbrella")]


class Refusing(Talkative):
    """One whose server must not be used."""

    async def ping(self) -> int:
        raise ConfigurationError("store: this server evicts; set its policy to noeviction")


class TalkativePlugin:
    """Offers both."""

    @hookimpl
    def sessionguard_register_stores(self) -> Mapping[str, Any]:
        return {"talkative": lambda url, settings: Talkative(), "refusing": lambda url, settings: Refusing()}


def test_a_store_that_says_how_its_server_is_is_listened_to() -> None:
    """In place of its warnings, which say the same."""
    answers, found = asyncio.run(server.check(Talkative(), "there"))

    assert answers
    assert [(each.subject, each.verdict) for each in found] == [("store", GREEN), ("weather", YELLOW)]


def test_a_store_that_must_not_be_used_is_red_and_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says itself how that is mended."""
    monkeypatch.setattr(plugins_module, "_installed", lambda: {"talkative": None})
    monkeypatch.setattr(plugins_module, "_load", lambda entry: TalkativePlugin)
    result = command("doctor", "--store", "refusing:")

    assert result.exit_code == 1
    assert result.stdout.endswith("red     store: this server evicts; set its policy to noeviction\n")


@pytest.mark.usefixtures("brief")
def test_a_store_that_its_processes_cannot_open_is_red(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the process said last is the reason."""
    monkeypatch.setattr(plugins_module, "_installed", lambda: {"talkative": None})
    monkeypatch.setattr(plugins_module, "_load", lambda entry: TalkativePlugin)
    result = command("doctor", "--store", "talkative:", "--json")
    (says,) = [each["says"] for each in json.loads(result.stdout) if each["verdict"] == "red"]

    assert result.exit_code == 1
    assert "a process could not take part: " in says
    assert "no plugin offers talkative: URLs" in says


@pytest.mark.usefixtures("brief")
def test_a_process_that_says_nothing_is_not_waited_for(practice: Practice, monkeypatch: pytest.MonkeyPatch) -> None:
    """And its rows are removed."""
    monkeypatch.setattr(race, "READY_SECONDS", 0.01)
    found = asyncio.run(raced(practice))

    assert [(each.verdict, each.says) for each in found] == [
        (RED, "a process could not take part: it said nothing for 0.01 s")
    ]
    assert practice.keys == ["default//agent:main:a"]


async def raced(practice: Practice) -> list[Diagnosis]:
    store = DiskStore(practice.directory)
    try:
        return await race.check(store, practice.url)
    finally:
        await store.aclose()


FORKING = """
from sessionguard import hookimpl
from sessionguard.stores.memory import MemoryStore

class Forking(MemoryStore):
    coordination = "host"

class Plugin:
    @hookimpl
    def sessionguard_register_stores(self):
        return {"forking": lambda url, settings: Forking()}
"""


@pytest.mark.slow
def test_a_store_that_forks_is_found_out_by_the_race(tmp_path: Path) -> None:
    """A real one: every process has rows of its own."""
    (tmp_path / "forking_plugin.py").write_text(FORKING)
    info = tmp_path / "forking-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: forking\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[sessionguard]\nforking = forking_plugin:Plugin\n")
    run = process("doctor", "--store", "forking:", PYTHONPATH=str(tmp_path))

    assert run.returncode == 1
    assert "red     race: 40 of 40 conversations got several ids" in run.stdout


def answered(*told: tuple[str, str | None, bool]) -> list[race.Answer]:
    return [race.Answer(*each) for each in told]


@pytest.mark.parametrize(
    ("answers", "verdict", "says"),
    [
        (answered(("k", "a", True), ("k", "a", False)), GREEN, "2 calls for 1 conversations: one id each"),
        (answered(("k", "a", True), ("k", "b", False)), RED, "1 of 1 conversations got several ids"),
        (answered(("k", "a", True), ("k", "a", True)), RED, "1 of 1 conversations got several ids"),
        (answered(("k", "a", False), ("k", "a", False)), RED, "1 of 1 conversations were there before"),
        (answered(("k", "a", True), ("k", None, False)), YELLOW, "1 of 2 calls got no answer in time"),
        (answered(("k", "a", False), ("k", None, False)), YELLOW, "1 of 2 calls got no answer in time"),
    ],
)
def test_the_race_is_judged_by_exact_counts(answers: list[race.Answer], verdict: Verdict, says: str) -> None:
    """One id for each conversation, written by exactly one call; a lost reply may have taken the news with it."""
    found = race.judge(answers)

    assert found.verdict is verdict
    assert says in found.says


@pytest.mark.slow
@pytest.mark.usefixtures("brief")
def test_rows_of_a_doctor_who_was_killed_are_removed_and_those_of_another_are_not(practice: Practice) -> None:
    """Told apart by their age."""
    now = int(time.time() * 1000)
    old, new = SessionRecord("old", 1, now - 120_000), SessionRecord("new", now, now)
    fill(DiskStore(practice.directory), [("sessionguard-doctor//old-1", old), ("sessionguard-doctor//new-1", new)])
    practice()

    assert practice.keys == ["default//agent:main:a", "sessionguard-doctor//new-1"]


@pytest.mark.slow
@pytest.mark.usefixtures("brief")
def test_rows_that_stay_are_told(practice: Practice, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left behind in silence."""

    async def forget(store: DiskStore, key: str, session_id: str, idle_before: int | None = None) -> bool:
        return False

    monkeypatch.setattr(DiskStore, "forget", forget)
    found = asyncio.run(raced(practice))

    assert [each.verdict for each in found] == [GREEN, RED]
    assert found[1].says == "2 rows could not be removed"


def test_a_racer_tells_what_it_was_told(
    practice: Practice, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A call that gets no answer has no id."""
    monkeypatch.setattr(jobs, "JOB_SECONDS", 0.2)
    turns = [["doctor//new", None], ["default//agent:main:a", ["id", 1, 2]]]
    plan = json.dumps({"url": practice.url, "seconds": 0.0, "turns": turns})
    disabled: list[int] = []
    monkeypatch.setattr("logging.disable", disabled.append)

    def run(at_the_start: Callable[[], object]) -> list[list[Any]]:
        lines = iter([lambda: f"{plan}\n", lambda: (at_the_start(), "0.0\n")[1]])
        monkeypatch.setattr("sys.stdin", SimpleNamespace(readline=lambda: next(lines)()))
        racer.main()
        ready, answers = capsys.readouterr().out.splitlines()
        assert ready == "ready"
        told: list[list[Any]] = json.loads(answers)
        return told

    first = run(lambda: None)
    with contextlib.closing(sqlite3.connect(practice.directory / "cache.db", isolation_level=None)) as intruder:
        intruder.execute("DELETE FROM Cache")
        busy = run(lambda: intruder.execute("BEGIN IMMEDIATE"))

    assert race.judge(race.Answer(*each) for each in first).verdict is GREEN
    assert [(key, session_id) for key, session_id, _ in busy[:4]] == [("doctor//new", None)] * 4
    assert len(first) == len(busy) == 2 * racer.TASKS


FRONTS = """
from sessionguard import SessionGuard

async def agent(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})

guarded = SessionGuard(agent, store="memory:")
required = SessionGuard(agent, store="memory:", require_key=["*"], header="x-chat")

def front(change):
    async def app(scope, receive, send):
        if scope["type"] == "http":
            scope = {**scope, "headers": change(scope["headers"])}
        await guarded(scope, receive, send)
    return app

last = front(lambda headers: list(dict(headers).items()))
folding = front(lambda headers: [(name.replace(b"_", b"-"), value) for name, value in headers])

def join(headers):
    joined = {}
    for name, value in headers:
        joined[name] = joined[name] + b", " + value if name in joined else value
    return list(joined.items())

joining = front(join)
applications = {
    "/guarded": guarded, "/joining": joining, "/last": last, "/folding": folding, "/agent": agent, "/required": required
}

async def by_path(scope, receive, send):
    await applications[scope["path"]](scope, receive, send)
"""


@pytest.fixture(scope="module")
def fronts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """Serve applications, each at the path of its name."""
    directory = tmp_path_factory.mktemp("fronts")
    (directory / "fronts.py").write_text(FRONTS)
    with uvicorn("fronts:by_path", directory, "--lifespan", "off", app_dir=directory) as server:
        yield server


@pytest.mark.parametrize(
    ("app", "expected", "says"),
    [
        ("guarded", [GREEN, GREEN], "a repeated x-openclaw-session-key arrives as it is"),
        ("joining", [GREEN, GREEN], "a repeated x-openclaw-session-key is joined"),
        ("last", [GREEN, YELLOW], "the last one alone arrives"),
        ("folding", [GREEN, GREEN, YELLOW], "x_openclaw_session_key arrives as x-openclaw-session-key"),
        ("agent", [RED], "x-openclaw-session-key does not reach a guard"),
        ("required", [RED], "the answer was session_key_required"),
    ],
)
def test_what_the_server_in_front_does_to_headers_is_seen(
    fronts: LiveServer, app: str, expected: list[Verdict], says: str
) -> None:
    """On a real socket, with requests that reach no application."""
    found = list(check_headers(f"{fronts.url}/{app}", "x-openclaw-session-key"))

    assert [each.verdict for each in found] == expected
    assert says in " ".join(each.says for each in found)


@pytest.mark.slow
@pytest.mark.usefixtures("brief")
def test_a_server_that_does_not_answer_is_red(practice: Practice) -> None:
    """And its address is asked for."""
    code, found = practice.found("--url", f"http://127.0.0.1:{free_port()}/")

    assert code == 1
    assert ("headers", "red") in verdicts(found)
