"""What the disk store promises beyond the contract: privacy, distrust, durability, many processes, nothing evicted."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pickle
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from sessionguard import ConfigurationError, CorruptRecord, GuardSettings, StoreUnavailable
from sessionguard.records import Reservation, SessionRecord
from sessionguard.store import AwaitedOffer
from sessionguard.stores.disk.opening import DiskcacheDatabase, open_database
from sessionguard.stores.disk.store import DiskStore
from sessionguard.stores.disk.strict import StrictDisk
from sessionguard.stores.embedded import place
from sessionguard.stores.embedded.threads import THREADS, StoreThreads, Tenancy

KEY = "default//agent:main:key"

CONTENDER = """
import asyncio, json, sys
from sessionguard.stores.disk.store import DiskStore

async def main(directory, name, keys):
    store = DiskStore(directory)
    await store.ping()
    print("ready", flush=True)
    sys.stdin.readline()
    reservations = [await store.reserve(f"race/{number}", f"{name}-{number}", None) for number in range(keys)]
    print(json.dumps([[each.record.session_id, each.created] for each in reservations]))
    await store.aclose()

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "sessions"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def opened(directory: Path) -> None:
    store = DiskStore(directory)
    try:
        await store.reserve(KEY, "first", None)
    finally:
        await store.aclose()


def tampered(directory: Path, statement: str, *values: object) -> None:
    """Make a store with one row and change its database behind its back."""
    asyncio.run(opened(directory))
    with contextlib.closing(sqlite3.connect(directory / "cache.db")) as connection, connection:
        connection.execute(statement, values)


class Bomb:
    """Unpickling it creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, int]]:
        return os.open, (str(self.path), os.O_CREAT)


@pytest.mark.parametrize("umask", [0o022, 0o002, 0o000])
async def test_the_directory_and_its_files_are_ours_alone_whatever_the_umask(directory: Path, umask: int) -> None:
    """Nobody else may read a key or an id."""
    before = os.umask(umask)
    store = DiskStore(directory)
    try:
        await store.reserve(KEY, "first", None)
        modes = {path.name: mode(path) for path in directory.iterdir()}
    finally:
        os.umask(before)
        await store.aclose()

    assert mode(directory) == 0o700
    assert modes == {f"cache.db{suffix}": 0o600 for suffix in ("", "-wal", "-shm", "-generations")}


def _symlink(directory: Path) -> None:
    (directory.parent / "elsewhere").mkdir(mode=0o700)
    directory.symlink_to(directory.parent / "elsewhere")


def _file(directory: Path) -> None:
    directory.write_text("in the way")


def _open_to_others(directory: Path) -> None:
    directory.mkdir(mode=0o755)


def _database_is_symlink(directory: Path) -> None:
    directory.mkdir(mode=0o700)
    (directory / "cache.db").symlink_to(directory.parent / "other.db")
    (directory.parent / "other.db").touch(mode=0o600)


def _database_open_to_others(directory: Path) -> None:
    directory.mkdir(mode=0o700)
    (directory / "cache.db").touch()
    (directory / "cache.db").chmod(0o644)


def _database_is_no_database(directory: Path) -> None:
    directory.mkdir(mode=0o700)
    (directory / "cache.db").touch(mode=0o600)
    (directory / "cache.db").write_text("this is not a database, whatever its name says" * 100)


def _parent_is_a_file(directory: Path) -> None:
    directory.parent.rmdir()
    directory.parent.write_text("in the way")


def _unwritable(directory: Path) -> None:
    directory.mkdir(mode=0o500)


def _database_unwritable(directory: Path) -> None:
    directory.mkdir(mode=0o700)
    (directory / "cache.db").touch(mode=0o400)


def _foreign_owner(directory: Path) -> None:
    directory.mkdir(mode=0o700)
    os.chown(directory, 12345, -1)


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (_symlink, "symbolic link"),
        (_file, "is not a directory"),
        (_open_to_others, "chmod 700"),
        (_database_is_symlink, "symbolic link"),
        (_database_open_to_others, "chmod 600"),
        (_database_is_no_database, "is not a database"),
        (_unwritable, "chmod 700"),
        (_database_unwritable, "chmod 600"),
        (_parent_is_a_file, "cannot be used"),
        pytest.param(
            _foreign_owner,
            "belongs to another user",
            marks=pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away"),
        ),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_a_place_that_is_not_ours_is_refused_with_its_cure(
    tmp_path: Path, spoil: Callable[[Path], None], complaint: str
) -> None:
    """A wrong directory is an error that names it, not a store that half works."""
    directory = tmp_path / "parent" / "sessions"
    directory.parent.mkdir()
    spoil(directory)
    store = DiskStore(directory)

    with pytest.raises(ConfigurationError, match=complaint) as refusal:
        await store.ping()
    await store.aclose()

    assert str(directory.parent) in str(refusal.value)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER evil AFTER INSERT ON Cache BEGIN UPDATE Cache SET value = x'00'; END",
        "CREATE TABLE other (x)",
        "DROP TRIGGER Settings_size_delete",
        "UPDATE Settings SET value = 'off' WHERE key = 'sqlite_journal_mode'",
        "UPDATE Settings SET value = 0 WHERE key = 'sqlite_synchronous'",
        "INSERT INTO Settings VALUES ('sqlite_writable_schema', 1)",
    ],
)
async def test_a_database_somebody_changed_is_refused_before_it_is_obeyed(directory: Path, statement: str) -> None:
    """A planted trigger, table or pragma stops the store; it never runs."""
    await asyncio.to_thread(tampered, directory, statement)
    store = DiskStore(directory)

    with pytest.raises(ConfigurationError, match="this package did not make"):
        await store.get(KEY)
    await store.aclose()


@pytest.mark.parametrize(
    ("statement", "value"),
    [
        ("UPDATE Cache SET mode = 4, value = ?", "pickle"),
        ("UPDATE Cache SET mode = 2, filename = ?", "file"),
        ("UPDATE Cache SET mode = 3, value = NULL, filename = ?", "file"),
        ("UPDATE Cache SET filename = ?", "file"),
        ("UPDATE Cache SET value = ?", "text"),
        ("UPDATE Cache SET value = ?", b"\xc1"),
    ],
)
async def test_a_foreign_row_is_reported_and_neither_run_nor_read_nor_replaced(
    directory: Path, tmp_path: Path, statement: str, value: object
) -> None:
    """No verb executes, opens, deletes or overwrites what a row it did not write says."""
    bomb, bystander = tmp_path / "bomb", directory / "bystander"
    await asyncio.to_thread(tampered, directory, "SELECT 1")
    bystander.write_text("still here")
    planted = {"pickle": pickle.dumps(Bomb(bomb)), "file": "bystander"}.get(str(value), value)
    await asyncio.to_thread(tampered, directory, statement, planted)
    store = DiskStore(directory)
    verbs = [
        lambda: store.get(KEY),
        lambda: store.reserve(KEY, "second", None),
        lambda: store.forget(KEY, "first"),
        lambda: anext(store.scan()),
    ]

    for verb in verbs:
        with pytest.raises(CorruptRecord):
            await verb()
    await store.aclose()

    assert not bomb.exists()
    assert bystander.read_text() == "still here"


async def test_a_pickled_key_is_never_unpickled(directory: Path, tmp_path: Path) -> None:
    """Listing the store is as safe as reading a row."""
    bomb = pickle.dumps(Bomb(tmp_path / "bomb"))
    await asyncio.to_thread(tampered, directory, "UPDATE Cache SET key = ?, raw = 0", bomb)
    store = DiskStore(directory)

    with pytest.raises(CorruptRecord):
        await anext(store.scan())
    await store.aclose()

    assert not (tmp_path / "bomb").exists()


async def test_a_row_is_written_as_the_disk_itself_would_write_it(directory: Path) -> None:
    """Statements of our own bypass diskcache on the way in, and nothing else may tell that they do."""
    store = DiskStore(directory)
    record = (await store.reserve(KEY, "id", None)).record
    await store.aclose()
    disk = StrictDisk(str(directory))
    with contextlib.closing(sqlite3.connect(directory / "cache.db")) as connection:
        row = connection.execute("SELECT key, raw, size, mode, filename, value FROM Cache").fetchone()

    assert row == (*disk.put(KEY), *disk.store(record, read=False))


def test_the_disk_refuses_what_this_package_never_writes(directory: Path) -> None:
    """Keys are text and values are records; a file is never named, and never removed because a row names it."""
    directory.mkdir()
    disk = StrictDisk(str(directory))
    (directory / "bystander").touch()
    disk.remove("bystander")

    assert (directory / "bystander").exists()
    with pytest.raises(TypeError):
        disk.put(b"bytes")
    with pytest.raises(TypeError):
        disk.store({"pickled": "value"}, read=False)
    with pytest.raises(CorruptRecord):
        disk.filename()


async def test_one_corrupt_row_harms_no_other(directory: Path) -> None:
    """Reservations that are committed together fail alone."""
    await asyncio.to_thread(tampered, directory, "UPDATE Cache SET value = ?", b"\xc1")
    store = DiskStore(directory)
    await store.ping()

    bad, good = await asyncio.gather(
        store.reserve(KEY, "id", None), store.reserve(KEY + "-good", "id", None), return_exceptions=True
    )
    survivor = await store.get(KEY + "-good")
    await store.aclose()

    assert isinstance(bad, CorruptRecord)
    assert not isinstance(good, BaseException)
    assert survivor == good.record


async def test_one_corrupt_row_harms_no_other_that_begins_with_it(directory: Path) -> None:
    """Of what is handed over together each ends for itself, also with an error."""
    await asyncio.to_thread(tampered, directory, "UPDATE Cache SET value = ?", b"\xc1")
    store = DiskStore(directory)
    bad, good = AwaitedOffer(KEY, "id", None), AwaitedOffer(KEY + "-good", "id", None)
    store.begin_reserve([bad, good])
    answers = await asyncio.gather(bad.future, good.future, return_exceptions=True)
    await store.aclose()

    assert isinstance(answers[0], CorruptRecord)
    assert isinstance(answers[1], Reservation)
    assert answers[1].created


@pytest.mark.parametrize("processes", [2, pytest.param(8, marks=pytest.mark.slow)])
def test_processes_that_race_for_the_same_keys_agree_on_every_id(directory: Path, processes: int) -> None:
    """One creator per key, one id per key, and every row is there afterwards; the very first opening races too."""
    keys = 200
    contenders = [
        subprocess.Popen(
            [sys.executable, "-c", CONTENDER, str(directory), f"p{number}", str(keys)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(processes)
    ]
    for contender in contenders:
        assert contender.stdout is not None
        assert contender.stdout.readline() == "ready\n"
    answers = []
    for contender in contenders:
        assert contender.stdin is not None
        contender.stdin.write("go\n")
        contender.stdin.flush()
    for contender in contenders:
        output, _ = contender.communicate()
        answers.append(json.loads(output))

    created = [sum(answer[number][1] for answer in answers) for number in range(keys)]
    ids = [{answer[number][0] for answer in answers} for number in range(keys)]

    assert created == [1] * keys
    assert [len(each) for each in ids] == [1] * keys


async def test_waiting_writes_share_one_transaction(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixty-four reservations that wait together cost one commit."""
    transactions = 0
    transaction = DiskcacheDatabase.transaction

    def counted(self: DiskcacheDatabase) -> contextlib.AbstractContextManager[object]:
        nonlocal transactions
        transactions += 1
        return transaction(self)

    store = DiskStore(directory)
    await store.ping()
    release = await hold_store_thread(store)
    monkeypatch.setattr(DiskcacheDatabase, "transaction", counted)
    reservations = asyncio.gather(*(store.reserve(f"key-{number}", "id", None) for number in range(64)))
    await asyncio.sleep(0)
    release()
    created = [reservation.created for reservation in await reservations]
    await store.aclose()

    assert created == [True] * 64
    assert transactions == 1


async def hold_store_thread(store: DiskStore) -> Callable[[], None]:
    """Keep the store thread busy until the returned function is called."""
    busy, go = threading.Event(), threading.Event()

    def wait(cache: object) -> None:
        busy.set()
        go.wait(10)

    task = asyncio.ensure_future(store._tenancy.submit((), wait, writes=False))
    await asyncio.to_thread(busy.wait, 10)

    def release() -> None:
        go.set()
        assert not task.cancelled()

    return release


def locked(directory: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(directory / "cache.db", isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    return connection


@pytest.mark.slow
async def test_a_locked_database_fails_writes_in_time_and_serves_reads_meanwhile(directory: Path) -> None:
    """Nothing waits for ever, nothing is handed out, and everything works again when the lock is gone."""
    store = DiskStore(directory)
    record = (await store.reserve(KEY, "first", None)).record
    with contextlib.closing(locked(directory)) as intruder:
        write = asyncio.ensure_future(store.reserve(KEY + "-new", "id", None))
        assert await store.get(KEY) == record
        assert not write.done()
        with pytest.raises(StoreUnavailable):
            await write
        intruder.execute("ROLLBACK")
    recovered = await store.reserve(KEY + "-new", "id", None)
    await store.aclose()

    assert recovered.created


async def test_a_store_that_gets_no_thread_says_so_at_once_and_tries_again(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a process has as many as it may have; nothing waits for what cannot come."""

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    store = DiskStore(directory)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(StoreUnavailable, match="can't start new thread"):
            await store.get(KEY)
    recovered = await store.reserve(KEY, "id", None)
    await store.aclose()

    assert recovered.created


async def test_a_lock_that_ends_in_time_is_only_a_delay(directory: Path) -> None:
    """A write waits for a busy neighbour instead of failing."""
    store = DiskStore(directory)
    await store.ping()
    with contextlib.closing(locked(directory)) as intruder:
        write = asyncio.ensure_future(store.reserve(KEY, "id", None))
        await asyncio.sleep(0.05)
        assert not write.done()
        intruder.execute("ROLLBACK")
        assert (await write).created
    await store.aclose()


@pytest.mark.slow
async def test_a_database_that_is_locked_when_it_is_opened_is_waited_for_no_longer(directory: Path) -> None:
    """Opening counts against the same deadline, and the next attempt opens it."""
    await opened(directory)
    with contextlib.closing(locked(directory)):
        store = DiskStore(directory)
        with pytest.raises(StoreUnavailable):
            await store.get(KEY)
    record = await store.get(KEY)
    await store.aclose()

    assert record is not None


async def test_a_failing_database_is_unavailable_and_opened_anew(
    directory: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An input/output error loses the connection, not the store."""
    store = DiskStore(directory)
    await store.ping()

    def broken(self: object, key: str) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as fault:
        fault.setattr(DiskcacheDatabase, "read", broken)
        with pytest.raises(StoreUnavailable):
            await store.reserve(KEY, "first", None)
    reservation = await store.reserve(KEY, "first", None)
    await store.aclose()

    assert reservation.created
    assert "disk I/O error" in caplog.text


async def test_a_cancelled_write_that_has_not_begun_is_dropped(directory: Path) -> None:
    """Nobody waits for it, so nobody pays for it."""
    store = DiskStore(directory)
    await store.ping()
    release = await hold_store_thread(store)
    task = asyncio.ensure_future(store.reserve(KEY, "first", None))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    release()
    await store.ping()

    assert await store.get(KEY) is None
    await store.aclose()


async def test_a_caller_who_leaves_while_his_reservation_runs_leaves_a_row(directory: Path) -> None:
    """Nobody is told, and whoever asks next finds it."""
    begun, go = threading.Event(), threading.Event()

    def clock() -> int:
        begun.set()
        go.wait()
        return 1

    store = DiskStore(directory, clock=clock)
    task = asyncio.ensure_future(store.reserve(KEY, "id", None))
    await asyncio.to_thread(begun.wait)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    go.set()
    found = await store.get(KEY)
    await store.aclose()

    assert found == SessionRecord("id", 1, 1)


async def test_a_caller_who_leaves_while_his_job_runs_is_not_missed(directory: Path) -> None:
    """The answer has nowhere to go, and that is all."""
    store = DiskStore(directory)
    begun, go = threading.Event(), threading.Event()

    def work(cache: object) -> None:
        begun.set()
        go.wait(10)

    task = asyncio.ensure_future(store._tenancy.submit((), work, writes=False))
    await asyncio.to_thread(begun.wait, 10)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    go.set()

    assert await store.get(KEY) is None
    await store.aclose()


async def test_every_thread_is_stopped_and_waited_for_at_the_end(directory: Path) -> None:
    """The database is closed when `stop_all` returns."""
    threads, path = StoreThreads(), directory / "cache.db"
    tenancy = Tenancy(threads, path, lambda: open_database(path, "full"))
    await tenancy.submit((KEY,), lambda rows: rows.get(KEY), writes=False)

    assert threads.stop_all() == set()
    assert sorted(file.name for file in directory.iterdir()) == ["cache.db", "cache.db-generations"]


async def test_stores_of_one_directory_share_one_thread_until_the_last_closes(directory: Path) -> None:
    """Two guards in one process are one client of the database."""
    first, second = DiskStore(directory), DiskStore(directory)
    await first.ping()
    await second.ping()
    path = directory / "cache.db"
    thread = THREADS.running[path]
    await first.aclose()

    assert (await second.reserve(KEY, "id", None)).created
    assert THREADS.running[path] is thread
    await second.aclose()
    assert path not in THREADS.running


async def test_an_answer_for_a_loop_that_is_gone_is_dropped(directory: Path) -> None:
    """A loop that ends while its write is under way takes nobody with it."""
    store = DiskStore(directory)
    await store.ping()
    release = await hold_store_thread(store)

    def abandon() -> None:
        loop = asyncio.new_event_loop()
        loop.run_until_complete(asyncio.wait([loop.create_task(store.reserve(KEY, "gone", None))], timeout=0.01))
        for task in asyncio.all_tasks(loop):
            task._log_destroy_pending = False  # type: ignore[attr-defined]
        loop.close()

    await asyncio.to_thread(abandon)
    release()

    record = await store.get(KEY)
    await store.aclose()
    assert record is None or record.session_id == "gone"


def test_a_process_that_never_closes_its_store_ends_in_order(directory: Path) -> None:
    """At exit the database is closed: no warning, and nothing left in the log that others must replay."""
    script = (
        "import asyncio, sys; from sessionguard.stores.disk.store import DiskStore;"
        "asyncio.run(DiskStore(sys.argv[1]).reserve('key', 'id', None))"
    )
    run = subprocess.run(
        [sys.executable, "-X", "dev", "-c", script, str(directory)], capture_output=True, text=True, check=True
    )

    assert run.stderr == ""
    assert sorted(path.name for path in directory.iterdir()) == ["cache.db", "cache.db-generations"]


async def test_nothing_is_evicted_and_no_row_expires(directory: Path) -> None:
    """diskcache's own defaults cull live rows; ours never do."""
    store = DiskStore(directory)
    await store.ping()
    settings = await store._tenancy.submit(
        (),
        lambda rows: [getattr(rows.database._cache, name) for name in ("eviction_policy", "cull_limit", "size_limit")],  # type: ignore[attr-defined]
        writes=False,
    )
    await store.aclose()

    assert settings == ["none", 0, 2**62]


@pytest.mark.parametrize(("option", "level"), [("", 2), ("?synchronous=full", 2), ("?synchronous=normal", 1)])
async def test_writes_survive_a_power_cut_unless_the_url_says_otherwise(
    directory: Path, option: str, level: int
) -> None:
    """WAL with synchronous=FULL is the default; NORMAL is a documented choice."""
    store = DiskStore.from_url(f"disk://{directory}{option}", GuardSettings())
    pragmas = await store._tenancy.submit(
        (),
        lambda rows: [
            rows.database._connection.execute(f"PRAGMA {name}").fetchone()[0]  # type: ignore[attr-defined]
            for name in ("journal_mode", "synchronous")
        ],
        writes=False,
    )
    await store.aclose()

    assert pragmas == ["wal", level]


@pytest.mark.parametrize(
    "url", ["disk://host/path", "disk:relative", "disk:///path?speed=11", "disk:///path?synchronous=off", "disk:///p#x"]
)
def test_a_url_that_is_not_understood_is_refused(url: str) -> None:
    """A typing error in a URL is not a different store."""
    with pytest.raises(ConfigurationError, match="disk:///absolute/path"):
        DiskStore.from_url(url, GuardSettings())


def test_the_default_directory_is_the_users_own_one_per_namespace(tmp_path: Path) -> None:
    """Without a path the rows are in the state directory of the user, apart by namespace."""
    store = DiskStore.from_url("disk:", GuardSettings(namespace="blue"))

    assert store.location == str(tmp_path / "state" / "sessionguard" / "blue")


def test_a_percent_sign_in_a_url_is_an_encoded_character(tmp_path: Path) -> None:
    """Paths with spaces can be written."""
    assert DiskStore.from_url(f"disk://{tmp_path}/my%20rows", GuardSettings()).location == f"{tmp_path}/my rows"


@pytest.mark.parametrize(
    ("directory", "container", "volume", "expected"),
    [
        ("/tmp/sessions", False, False, ["temporary"]),
        ("/var/lib/app", False, False, []),
        ("/var/lib/app", True, False, ["container"]),
        ("/var/lib/app", True, True, []),
    ],
)
def test_an_unlucky_place_is_mentioned(
    monkeypatch: pytest.MonkeyPatch, directory: str, container: bool, volume: bool, expected: list[str]
) -> None:
    """Temporary directories and the inside of a container lose their rows; the operator is told."""
    monkeypatch.setattr("sessionguard.stores.embedded.place.CONTAINER_MARKS", ())
    monkeypatch.delenv("TMPDIR", raising=False)
    monkeypatch.setattr("os.path.ismount", lambda path: volume and str(path) == "/var/lib")
    if container:
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    else:
        monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)

    warnings = list(place.warnings(Path(directory)))

    assert [word for word in ("temporary", "container") if any(word in warning for warning in warnings)] == expected


async def test_a_store_looks_at_its_place_when_it_opens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """On its own thread, because a disk that hangs must hang nobody else."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    store = DiskStore(tmp_path / "sessions")
    unopened = store.warnings()
    await store.ping()
    opened = store.warnings()
    await store.aclose()

    assert unopened == ()
    assert "the directory is a temporary one; conversations end when it is cleaned" in opened


async def test_a_conversation_that_stands_is_found_while_somebody_holds_the_lock(directory: Path) -> None:
    """Only what has to be written waits for other writers, also in a process that has never seen the conversation."""
    first = DiskStore(directory)
    await first.reserve(KEY, "id", None)
    await first.aclose()
    store = DiskStore(directory)
    await store.ping()
    with contextlib.closing(locked(directory)):
        found = await store.reserve(KEY, "other", None)
    await store.aclose()

    assert (found.record.session_id, found.created) == ("id", False)


async def test_what_is_asked_in_the_turn_of_the_end_is_answered(directory: Path) -> None:
    """And no thread is left behind for it."""
    store = DiskStore(directory)
    await store.ping()
    reservation, _ = await asyncio.gather(store.reserve(KEY, "id", None), store.aclose())

    assert reservation.created
    assert directory / "cache.db" not in THREADS.running
