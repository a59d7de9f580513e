"""`sessionguard demo` as a person meets it: the installed command, its words, its servers, and the shell lines."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from live import LiveServer, free_port, running

from sessionguard.cli import demo
from sessionguard.cli.main import main

pytestmark = [pytest.mark.once, pytest.mark.slow]

COMMAND = Path(sys.executable).with_name("sessionguard")

FOREIGN = {
    "SESSIONGUARD_STORE": "memory:",
    "SESSIONGUARD_NAMESPACE": "../foreign",
    "SESSIONGUARD_NONSENSE": "1",
    "UVICORN_ROOT_PATH": "/foreign",
    "WEB_CONCURRENCY": "2",
    "HTTP_PROXY": "http://127.0.0.1:9",
}


class Run(NamedTuple):
    """One run of the real command: its exit code, both its streams, and its temporary directory."""

    code: int
    output: str
    errors: str
    temporary: Path

    def row(self, name: str) -> tuple[str, str]:
        """Return the two cells of a line of the table: alone, guarded."""
        found = re.search(rf"^\W*{re.escape(name)} +\W +(.+?) +\W +(.+?) +\W$", self.output, re.MULTILINE)
        assert found, self.output
        return found[1], found[2]

    @property
    def commands(self) -> list[str]:
        """The shell lines the demo offers, as printed."""
        by_hand = self.output.partition("Try it by hand")[2]
        return [line.strip() for line in re.findall(r"^    .+(?:(?<=\\)\n.+)*", by_hand, re.MULTILINE)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The demo, run once as a stranger would, into a pipe, among variables that are not meant for it."""
    temporary = tmp_path_factory.mktemp("tmp")
    done = subprocess.run(
        [COMMAND, "demo"],
        env={**os.environ, **FOREIGN, "TMPDIR": str(temporary), "PYTHONIOENCODING": "ascii"},
        cwd=tmp_path_factory.mktemp("here"),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return Run(done.returncode, done.stdout, done.stderr, temporary)


def servers_of(temporary: Path) -> list[int]:
    """Return the processes that were started for a demo with this temporary directory."""
    mark = f"AGENT_DIRECTORY={temporary}".encode()
    return [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/environ") if mark in environment(path)]


def environment(path: Path) -> bytes:
    """Return a process's environment; that of others, and of one that has just gone, cannot be read."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_the_demo_succeeds(run: Run) -> None:
    """The guarded half holds, and foreign settings disturb no server."""
    assert (0, "") == (run.code, run.errors), run.output


def test_the_agent_alone_forks(run: Run) -> None:
    """Without the guard each of the concurrent messages gets its own id, and the next one finds one of six."""
    assert "6 (forked)" == run.row("session ids")[0]
    assert "6 (longest: 2 of 7)" == run.row("transcripts")[0]
    assert "1 of 6 messages" == run.row("memory of the last one")[0]


def test_the_guarded_agent_keeps_one_conversation(run: Run) -> None:
    """Behind the guard there is one id, and one transcript with every message, from three processes."""
    assert "3" == run.row("processes that answered")[1]
    assert "1" == run.row("session ids")[1]
    assert "1 (longest: 7 of 7)" == run.row("transcripts")[1]
    assert "6 of 6 messages" == run.row("memory of the last one")[1]


def test_exactly_one_reply_is_new(run: Run) -> None:
    """The status header says one `new`; all others joined it or found it."""
    told = {status: int(count) for count, status in re.findall(r"(\d+) (\w+)", run.row("x-sessionguard-status")[1])}

    assert 1 == told["new"]
    assert 7 == told["new"] + told.get("joined", 0) + told.get("existing", 0)


def test_the_store_holds_one_row(run: Run) -> None:
    """The row read back is the canonical key and the id."""
    rows = re.findall(r"^Stored row: (\S+) -> (\S+)$", run.output, re.MULTILINE)

    assert 1 == len(rows)
    assert re.fullmatch(r"agent:main:final-\d{10}", rows[0][0])


def test_the_table_fits_eighty_columns(run: Run) -> None:
    """Down to the verdict, every line can be read on a narrow terminal."""
    assert [] == [line for line in run.output.partition("Try it")[0].splitlines() if len(line) > 80]


def test_the_demo_leaves_nothing_behind(run: Run) -> None:
    """Its servers have ended and its directory is gone."""
    assert [] == servers_of(run.temporary)
    assert [] == list(run.temporary.iterdir())


@pytest.mark.parametrize(
    ("number", "code", "processes"),
    [(signal.SIGINT, 130, 4), (signal.SIGTERM, 143, 1)],
    ids=["Ctrl-C", "ended while it starts a server"],
)
def test_an_interrupted_demo_leaves_nothing_behind(
    number: signal.Signals, code: int, processes: int, tmp_path: Path
) -> None:
    """Ended from outside while this many guarded processes run, it ends them and removes its directory first."""
    demo_process = subprocess.Popen(
        [COMMAND, "demo"],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    while not [*tmp_path.glob("*/guarded")] or len(servers_of(tmp_path)) < processes:
        assert demo_process.poll() is None
        time.sleep(0.01)
    demo_process.send_signal(number)
    _, errors = demo_process.communicate(timeout=60)

    assert code == demo_process.returncode, errors
    assert [] == servers_of(tmp_path)
    assert [] == list(tmp_path.iterdir())


def by_hand(command: str, port: int) -> str:
    """Give a printed line to a shell, for the port at hand; return what it shows."""
    line = command.replace("8000", str(port))
    if not (shutil.which("curl") and shutil.which("xargs")):
        return without_curl(line)
    return subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=60, check=True).stdout


def without_curl(line: str) -> str:
    """Send what the line would send, for machines without curl."""
    words = shlex.split(line.replace("\\\n", ""))
    name, _, value = words[words.index("-H") + 1].partition(": ")
    count = 6 if words[0] == "seq" else 1
    replies = [httpx.post(words[-1], content=words[words.index("-d") + 1], headers={name: value}) for _ in range(count)]
    return "".join(f"{reply.headers}\n{reply.text}" for reply in replies)


def served_by_hand(command: str, port: int, tmp_path: Path) -> contextlib.AbstractContextManager[LiveServer]:
    """Give the printed server command to a shell that makes way for it, so that the server is the process we end."""
    return running(["sh", "-c", f"exec env {command.replace('8000', str(port))}"], port, tmp_path)


def test_the_printed_commands_do_what_they_promise(run: Run, tmp_path: Path) -> None:
    """Six messages at once get one id, and one more after a restart finds all six."""
    serve, burst, follow_up = run.commands
    port = free_port()
    with served_by_hand(serve, port, tmp_path):
        session_ids = re.findall(r'"session_id": "(\S+)"', by_hand(burst, port))
    with served_by_hand(serve, port, tmp_path):
        reply = by_hand(follow_up, port)

    assert 6 == len(session_ids)
    assert 1 == len(set(session_ids))
    assert session_ids[0] in reply
    assert '"remembers": 6' in reply
    assert "x-sessionguard-status" in reply and "existing" in reply


def console_script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> int:
    """Run the entry point in this process and return its exit code; its servers are real."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(sys, "argv", ["sessionguard", "demo"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert [] == servers_of(tmp_path)
    assert [] == list(tmp_path.iterdir())
    return int(ended.value.code or 0)


def test_a_guarded_half_that_holds_ends_with_zero(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same in process: everything held."""
    code = console_script(monkeypatch, tmp_path)

    output = capsys.readouterr().out
    assert (0, True) == (code, "Guarded, it stayed one, across 3 processes." in output)


def test_a_guarded_half_that_forks_ends_with_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A store that reaches no further than one process forks among three, and the demo says so."""
    monkeypatch.setattr(demo, "show", functools.partial(demo.show, store="memory:"))
    code = console_script(monkeypatch, tmp_path)

    output = capsys.readouterr().out
    assert (1, True) == (code, "The guarded half did not hold: one key got 3 session ids" in output)


def test_a_server_that_does_not_start_ends_with_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error shows what the server said."""
    monkeypatch.setattr(demo, "AGENT", "nowhere:app")
    code = console_script(monkeypatch, tmp_path)

    errors = capsys.readouterr().err
    assert (1, True) == (code, "The demo could not be run." in errors and "Could not import module" in errors), errors
