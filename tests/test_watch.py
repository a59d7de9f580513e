"""`sessionguard watch` on a real terminal, and for scripts."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pexpect
import pytest
from live import free_port, uvicorn
from operators import COMMAND, SILENT, command, fill

from sessionguard import SessionRecord
from sessionguard.cli.watch.metrics import Counters, Series, scrape
from sessionguard.keys import row_key
from sessionguard.stores.disk.store import DiskStore
from sessionguard.stores.embedded import jobs

pytestmark = pytest.mark.once

NOW = int(time.time() * 1000)


class Room:
    """A store with conversations in it, and somebody who watches."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.url = f"disk://{directory}"
        self.put(*(f"agent:main:chat-{number:02}" for number in range(30)))

    def put(self, *keys: str, principal: str | None = None) -> None:
        moments = [int(time.time() * 1000) - len(keys) + number for number in range(len(keys))]
        rows = [
            (row_key("default", principal, key), SessionRecord("id", at, at))
            for key, at in zip(keys, moments, strict=True)
        ]
        fill(DiskStore(self.directory), rows)

    @contextlib.contextmanager
    def watched(self, *options: str) -> Iterator[pexpect.spawn[str]]:
        """Watch on a terminal of 24 lines; what is shown can be waited for."""
        arguments = ["watch", "--store", self.url, "--interval", "0.1", *options]
        env = {**os.environ, **SILENT, "TERM": "xterm-256color"}
        env.pop("COLUMNS", None)
        screen = pexpect.spawn(str(COMMAND), arguments, dimensions=(24, 100), env=env, encoding="utf-8", timeout=60)
        try:
            yield screen
        finally:
            screen.close(force=True)

    def looks(self, *options: str) -> list[dict[str, Any]]:
        result = command("watch", "--store", self.url, "--json", "--interval", "0.1", *options)
        assert result.exit_code == 0, result.stderr
        return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path / "sessions")


@pytest.mark.slow
def test_what_begins_is_seen_as_it_begins(room: Room) -> None:
    """The newest first, as many as fit; Ctrl-C gives the terminal back as it was."""
    with room.watched() as screen:
        screen.expect_exact("\x1b[?1049h")
        screen.expect_exact("30 conversations")
        screen.expect_exact("agent:main:chat-29")
        screen.expect_exact("agent:main:chat-28")
        room.put("agent:main:just-begun")
        screen.expect_exact("31 conversations")
        screen.expect(r"[1-9][0-9,.]* begun a second")
        screen.expect_exact("agent:main:just-begun")
        screen.sendintr()
        screen.expect_exact("\x1b[?1049l")
        screen.expect(pexpect.EOF)
        screen.close()

    assert (screen.exitstatus, screen.signalstatus) == (0, None)


@pytest.mark.slow
def test_no_more_is_shown_than_fits(room: Room) -> None:
    """And what is shown of a long key ends at the edge."""
    room.put("agent:main:" + "long-" * 40)
    with room.watched("--looks", "1") as screen:
        screen.expect(pexpect.EOF)
        # Every frame begins at the upper left corner.
        shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.before.replace("\x1b[H", "\n"))

    lines = [line.rstrip() for line in shown.splitlines()]
    assert sum("agent:main:" in line for line in lines) == 14
    assert max(map(len, lines)) <= 100
    assert re.search("agent:main:long-[long-]*…", shown)


@pytest.mark.slow
def test_a_store_that_comes_back_is_seen_to(room: Room) -> None:
    """An outage is shown, and does not end the watch."""
    with contextlib.closing(sqlite3.connect(room.directory / "cache.db", isolation_level=None)) as intruder:
        intruder.execute("BEGIN IMMEDIATE")
        with room.watched() as screen:
            screen.expect_exact("The session store is busy")
            intruder.execute("ROLLBACK")
            screen.expect_exact("30 conversations")


def test_a_principal_does_nothing_to_the_terminal(room: Room) -> None:
    """A client may have sent it."""
    room.put("agent:main:theirs", principal="\x1b[2Jeve")
    listed = command("sessions", "list", "--store", room.url, "--prefix", "agent:main:theirs")
    shown = command("sessions", "show", "theirs", "--principal", "\x1b[2Jeve", "--store", room.url)

    assert "agent:main:theirs  of \\x1b[2Jeve" in listed.stdout
    assert "principal   \\x1b[2Jeve" in shown.stdout
    assert "\x1b" not in listed.stdout + shown.stdout


def test_every_look_is_a_line_for_scripts(room: Room) -> None:
    """With what has happened since the one before."""
    first, second = room.looks("--looks", "2", "--prefix", "agent:main:chat-0")

    assert (first["conversations"], first["begun"], first["used"]) == (10, 0, 0)
    assert first["newest"][0]["key"] == "agent:main:chat-09"
    assert second["at"] > first["at"]
    assert 0 <= second["answer_ms"] <= second["seconds"] * 1000


def test_what_was_used_is_counted_from_one_look_to_the_next(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new conversation is begun and used, an old one used."""
    looks = iter(["first", "second"])
    ping = DiskStore.ping

    async def ping_and_use(store: DiskStore) -> int:
        at = await ping(store)
        if next(looks) == "first":
            await store.adopt("default//agent:main:chat-00", SessionRecord("id", NOW, at + 50), None)
            await store.adopt("default//agent:main:new", SessionRecord("id", at + 60, at + 60), None)
        return at

    monkeypatch.setattr(DiskStore, "ping", ping_and_use)
    _, second = room.looks("--looks", "2")

    assert (second["begun"], second["used"]) == (1, 2)


@pytest.mark.slow
def test_an_outage_is_a_line_too(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the error in place of the look."""
    monkeypatch.setattr(jobs, "JOB_SECONDS", 0.2)
    with contextlib.closing(sqlite3.connect(room.directory / "cache.db", isolation_level=None)) as intruder:
        intruder.execute("BEGIN IMMEDIATE")
        (only,) = room.looks("--looks", "1")
        printed = command("watch", "--store", room.url, "--looks", "1")

    assert only == {"error": "The session store is busy; try again."}
    assert (printed.exit_code, "The session store is busy; try again." in printed.stdout) == (0, True)


def test_where_there_is_no_terminal_the_last_look_is_printed(room: Room) -> None:
    """As lines."""
    result = command("watch", "--store", room.url, "--looks", "2", "--interval", "0.1")

    assert result.stdout.count("30 conversations") == 1
    assert result.stdout.endswith("\n")


COUNTING = """
import itertools
numbers = itertools.count(1)
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    number = next(numbers) * 100
    text = f'''# HELP sessionguard_resolutions_total Requests.
sessionguard_resolutions_total{{origin="existing",store="disk"}} {number}.0
sessionguard_resolutions_total{{origin="new",store="disk"}} {number / 100}
sessionguard_resolutions_total{{origin="joined",store="disk"}} 5.0
sessionguard_resolutions_created{{origin="new",store="disk"}} 1.7e+09
sessionguard_store_seconds_bucket{{le="0.5",store="disk",verb="reserve"}} {number}.0
sessionguard_store_seconds_count{{store="disk",verb="reserve"}} {number}.0
sessionguard_store_seconds_sum{{store="disk",verb="reserve"}} {number * 0.002}
sessionguard_turn_wait_seconds_count {number}.0
sessionguard_turn_wait_seconds_sum {number * 0.5}
python_info{{version="3"}} 1.0
'''
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": text.encode()})
"""
"""Exposes counters that grow with every look at them."""


@pytest.mark.slow
def test_what_workers_count_is_shown_a_second(room: Room, tmp_path: Path) -> None:
    """Requests by their origin, and how long store calls and waits take."""
    (tmp_path / "counting.py").write_text(COUNTING)
    with uvicorn("counting:app", tmp_path, app_dir=tmp_path) as server:
        first, second = room.looks("--looks", "2", "--metrics", server.url)
        with room.watched("--metrics", server.url) as screen:
            screen.expect(r"requests a second: existing [1-9][0-9,.]*, new [0-9.]+")
            screen.expect(r"store a second: reserve [1-9][0-9,.]* of 2\.0 ms")
            screen.expect(r"turn_wait a second: [1-9][0-9,.]* of 500\.0 ms")

        printed = command("watch", "--store", room.url, "--metrics", server.url, "--looks", "2", "--interval", "0.1")

    assert "store a second: reserve " in printed.stdout
    assert first["rates"] == {}
    assert set(second["rates"]) == {"resolutions", "store_seconds", "turn_wait_seconds"}
    assert set(second["rates"]["resolutions"]) == {"existing", "new"}


@pytest.mark.slow
def test_workers_that_expose_nothing_are_told(room: Room) -> None:
    """The store is watched all the same."""
    metrics = ("--metrics", f"http://127.0.0.1:{free_port()}/metrics")
    with room.watched(*metrics) as screen:
        screen.expect_exact("30 conversations")
        screen.expect_exact("does not answer")

    assert room.looks("--looks", "1", *metrics)[0]["rates"] == {}


async def test_a_worker_that_was_started_anew_counts_nothing_backwards(tmp_path: Path) -> None:
    """Its counters begin at 0 again."""
    (tmp_path / "counting.py").write_text(COUNTING)
    with uvicorn("counting:app", tmp_path, app_dir=tmp_path) as server:
        async with httpx.AsyncClient(trust_env=False) as client:
            early, late = await scrape(client, server.url), await scrape(client, server.url)

    assert early.since(late) == Counters(late.at + 1, {}).since(late) == {}
    assert late.values[Series("sessionguard_store_seconds", "count", "reserve")] == 200


def test_a_store_that_is_not_there_is_a_wrong_call(tmp_path: Path) -> None:
    """And is not made."""
    result = command("watch", "--store", f"disk://{tmp_path}/nowhere")

    assert result.exit_code == 2
    assert "there is no store at" in result.stderr
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.slow
def test_the_pause_grows_with_the_store(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look that takes long is followed by a rest four times as long, so that watching costs the store little."""
    paused: list[float] = []
    sleep = asyncio.sleep

    async def note(seconds: float) -> None:
        paused.append(seconds)
        await sleep(0)

    scan = DiskStore.scan

    async def slow(store: DiskStore, prefix: str = "") -> Any:
        await sleep(0.2)
        async for row in scan(store, prefix):
            yield row

    monkeypatch.setattr(DiskStore, "scan", slow)
    monkeypatch.setattr(asyncio, "sleep", note)
    room.looks("--looks", "2")

    assert len(paused) == 1
    assert paused[0] >= 0.8


def test_a_terminal_is_given_back(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the looks are over; rich is told that there is one."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    result = command("watch", "--store", room.url, "--looks", "1")

    assert (result.exit_code, result.stdout.endswith("\x1b[?25h\x1b[?1049l")) == (0, True)


def test_an_interrupt_is_how_it_ends(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """No error, and the store is closed; rich is told that there is a terminal."""

    async def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(asyncio, "sleep", interrupt)
    result = command("watch", "--store", room.url)

    assert result.exit_code == 0
    assert result.stdout.endswith("\x1b[?25h\x1b[?1049l")
