"""`sessionguard store ...`: what operators do to a store."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from sessionguard.cli import opening
from sessionguard.cli.main import main
from sessionguard.errors import StoreUnavailable
from sessionguard.stores.memory import MemoryStore
from sessionguard.stores.sqlite import SqliteStore

pytestmark = pytest.mark.once

Run = Callable[..., tuple[object, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the console script; returns its exit code and all it printed."""

    def run(*arguments: str) -> tuple[object, str]:
        monkeypatch.setattr("sys.argv", ["sessionguard", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return ended.value.code, printed.out + printed.err

    return run


def test_init_makes_what_the_store_needs(run: Run, tmp_path: Path) -> None:
    """An embedded store is a directory with a database in it."""
    directory = tmp_path / "sessions"

    assert (0, f"The store is ready: {directory}\n") == run("store", "init", "--store", f"sqlite://{directory}")
    assert (directory / "sessions.db").exists()


def test_a_script_is_told_in_json(run: Run, tmp_path: Path) -> None:
    directory = str(tmp_path / "sessions")
    code, printed = run("store", "init", "--store", f"sqlite://{directory}", "--json")

    assert (code, json.loads(printed)) == (0, {"ready": directory})


def test_init_leaves_what_is_there(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run again, it changes nothing; the URL may come from the environment."""
    monkeypatch.setenv("SESSIONGUARD_STORE", f"sqlite://{tmp_path / 'sessions'}")
    run("store", "init")
    store = SqliteStore(tmp_path / "sessions")
    asyncio.run(_reserve(store, "key"))

    assert 0 == run("store", "init")[0]
    with contextlib.closing(sqlite3.connect(tmp_path / "sessions" / "sessions.db")) as connection:
        assert [("key",)] == connection.execute("SELECT key FROM Sessions").fetchall()


async def _reserve(store: SqliteStore, key: str) -> None:
    await store.reserve(key, "first", None)
    await store.aclose()


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("nowhere://host", "no plugin offers nowhere: URLs"),
        ("sqlite://relative", "write sqlite:///absolute/path"),
        ("memory:", "no command can reach it"),
    ],
)
def test_init_says_what_is_wrong_with_a_url(run: Run, url: str, told: str) -> None:
    """In one line, with exit code 2."""
    code, printed = run("store", "init", "--store", url)

    assert 2 == code
    assert printed.startswith("store: ")
    assert told in printed
    assert 1 == printed.count("\n")


class Unreachable(MemoryStore):
    coordination = "cluster"

    async def prepare(self) -> None:
        raise StoreUnavailable("The session store failed; try again.") from ConnectionRefusedError("nobody listens")


def test_init_says_why_a_store_cannot_be_reached(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients are told less than operators."""
    monkeypatch.setattr(opening.PluginRegistry, "store", lambda registry, settings: Unreachable())

    expected = (75, "The session store failed; try again. (nobody listens)\n")
    assert expected == run("store", "init")


def test_store_without_a_command_lists_them(run: Run) -> None:
    """Nothing happens by accident."""
    assert "init" in run("store")[1]


def test_the_store_commands_are_given_only_what_they_know(run: Run) -> None:
    """A slip of the pen is told."""
    code, printed = run("store", "initialise")

    assert (2, True) == (code, "initialise" in printed)
