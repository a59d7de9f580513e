"""The parts behind the commands: the agent, its files, the servers and the callers, and the judgement."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console

from sessionguard import SessionGuard
from sessionguard.cli import agent as agent_module
from sessionguard.cli import callers as callers_module
from sessionguard.cli import report
from sessionguard.cli import server as server_module
from sessionguard.cli.agent import Agent
from sessionguard.cli.callers import callers
from sessionguard.cli.half import Half
from sessionguard.cli.interruption import exit_when_ended, signals_deferred
from sessionguard.cli.journal import Journal
from sessionguard.cli.race import Reply, race
from sessionguard.cli.server import Server, ServerFailed, serving
from sessionguard.cli.walkthrough import steps

pytestmark = pytest.mark.once

KEY = {"x-openclaw-session-key": "Chat"}
FIRST, SECOND = (str(uuid.UUID(int=number)) for number in (1, 2))


def client_of(app: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://agent")


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Agent:
    """An agent whose first step only lets others go first."""
    monkeypatch.setattr(agent_module, "FIRST_STEP_SECONDS", 0)
    return Agent(tmp_path / "agent")


async def test_the_agent_remembers_a_key_it_has_stored(agent: Agent) -> None:
    """Two messages one after the other are one conversation."""
    async with client_of(agent) as client:
        replies = [(await client.post("/", content=text, headers=KEY)).json() for text in ("one", "two")]

    assert 1 == len({reply["session_id"] for reply in replies})
    assert [0, 1] == [reply["remembers"] for reply in replies]
    assert {replies[0]["session_id"]: ["one", "two"]} == agent.transcripts()


async def test_the_agent_forks_a_new_key_when_messages_come_together(agent: Agent) -> None:
    """It stores its id only after the first step, so each message mints one."""
    async with client_of(agent) as client:
        replies = await asyncio.gather(*(client.post("/", content=text, headers=KEY) for text in ("one", "two")))

    assert 2 == len({reply.json()["session_id"] for reply in replies})
    assert [["one"], ["two"]] == sorted(agent.transcripts().values())


async def test_the_agent_takes_the_injected_id(agent: Agent) -> None:
    """Behind the guard, messages that come together are one conversation."""
    async with client_of(SessionGuard(agent, store="memory:")) as client:
        replies = await asyncio.gather(*(client.post("/", content=text, headers=KEY) for text in ("one", "two")))

    assert 1 == len({reply.json()["session_id"] for reply in replies})
    assert [["one", "two"]] == [sorted(messages) for messages in agent.transcripts().values()]


async def test_the_agent_stores_no_id_without_a_key(agent: Agent) -> None:
    """Messages that name no conversation share none."""
    async with client_of(agent) as client:
        replies = [(await client.post("/", content="hello")).json() for _ in range(2)]

    assert 2 == len({reply["session_id"] for reply in replies})


async def test_the_agent_says_which_process_answers(agent: Agent) -> None:
    """GET leaves no trace in any transcript."""
    async with client_of(agent) as client:
        answer = (await client.get("/")).json()

    assert ({"process": os.getpid()}, {}) == (answer, agent.transcripts())


async def test_the_agent_keeps_any_id_in_its_directory(agent: Agent, tmp_path: Path) -> None:
    """An id from outside is no path."""
    sent: list[Any] = []
    await agent(
        {"type": "http", "method": "POST", "headers": [], "session_id": "../../outside"},
        iter_receive([{"body": b"he", "more_body": True}, {"body": b"llo"}]),
        collect_into(sent),
    )

    assert {"../../outside": ["hello"]} == agent.transcripts()
    assert [] == list(tmp_path.glob("outside*"))


async def test_the_agent_completes_its_lifespan(agent: Agent) -> None:
    """Start-up and shutdown are both answered."""
    sent: list[Any] = []
    receive = iter_receive([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    await agent({"type": "lifespan"}, receive, collect_into(sent))

    assert ["lifespan.startup.complete", "lifespan.shutdown.complete"] == [message["type"] for message in sent]


def iter_receive(messages: Sequence[dict[str, Any]]) -> Any:
    """Return a `receive` that hands out these messages."""
    waiting = iter(messages)

    async def receive() -> dict[str, Any]:
        return next(waiting)

    return receive


def collect_into(sent: list[Any]) -> Any:
    """Return a `send` that keeps what it is given."""

    async def send(message: Any) -> None:
        sent.append(message)

    return send


APPEND = """
import sys
from pathlib import Path
from sessionguard.cli.journal import Journal
journal = Journal(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.read()
print(*(journal.append(sys.argv[2] * 3000) for _ in range(100)))
"""


@pytest.mark.slow
def test_a_journal_keeps_every_line_of_every_process(tmp_path: Path) -> None:
    """Long lines appended by several processes at once stay whole, and each knows how many were there before."""
    path = tmp_path / "journal.jsonl"
    gate, opener = os.pipe()
    with contextlib.ExitStack() as stack:
        command = [sys.executable, "-c", APPEND, str(path)]
        start = functools.partial(subprocess.Popen, stdin=gate, stdout=subprocess.PIPE, text=True)
        writers = [stack.enter_context(start([*command, letter])) for letter in "abc"]
        assert ["ready\n"] * 3 == [writer.stdout.readline() for writer in writers]
        os.close(opener)
        told = [int(number) for writer in writers for number in writer.stdout.read().split()]
    os.close(gate)

    assert [letter * 3000 for letter in "abc" for _ in range(100)] == sorted(Journal(path).entries())
    assert list(range(300)) == sorted(told)


FRAGILE = """
import os, signal, time
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        time.sleep(float(os.environ.get("DELAY", "0")))
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
    elif scope["method"] == "POST":
        os._exit(3)
    else:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b'{"process": 1}'})
"""
"""An application that cannot be asked to stop, and ends its process when it is sent a message."""


@pytest.fixture
def fragile(tmp_path: Path) -> dict[str, str]:
    """The environment in which `fragile:app` can be imported."""
    (tmp_path / "fragile.py").write_text(FRAGILE)
    return {"PYTHONPATH": str(tmp_path)}


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers and callers that wait half a second where they would wait long."""
    monkeypatch.setattr(server_module, "STOP_SECONDS", 0.5)
    monkeypatch.setattr(callers_module, "START_SECONDS", 0.5)


def alive(server: Server) -> bool:
    with contextlib.suppress(httpx.ConnectError):
        return httpx.get(server.url, trust_env=False).is_success
    return False


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.5, 0], ids=["soon", "at once"])
def test_a_server_that_will_not_stop_is_killed(
    seconds: float, tmp_path: Path, fragile: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that ignores the request to end does not outlive its block."""
    monkeypatch.setattr(server_module, "STOP_SECONDS", seconds)
    with serving(tmp_path / "server", "fragile:app", env=fragile) as server:
        before = alive(server)

    assert (True, False) == (before, alive(server))


def test_a_server_that_ends_at_once_is_reported_with_its_log(tmp_path: Path) -> None:
    """The error holds the exit code and the server's own words."""
    with (
        pytest.raises(ServerFailed, match=r"ended with exit code [13](?s:.)*nowhere"),
        serving(tmp_path / "server", "nowhere:app", env={}),
    ):
        pytest.fail("it does not serve")


@pytest.mark.slow
@pytest.mark.usefixtures("impatient")
def test_a_server_that_never_listens_is_reported(
    tmp_path: Path, fragile: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waiting for it has an end."""
    monkeypatch.setattr(server_module, "START_SECONDS", 0.5)
    starting = serving(tmp_path / "server", "fragile:app", env={**fragile, "DELAY": "60"})
    with pytest.raises(ServerFailed, match=r"did not listen within 0.5 s"), starting:
        pytest.fail("it does not serve")


@pytest.mark.slow
@pytest.mark.usefixtures("impatient")
def test_processes_that_never_answer_are_reported(tmp_path: Path, fragile: dict[str, str]) -> None:
    """Waiting for a second process where there is one has an end."""
    with serving(tmp_path / "server", "fragile:app", env=fragile) as server:
        late = pytest.raises(ServerFailed, match=r"answered from 1 of 2 processes in 0.5 s")
        with late, callers(server, processes=2, each=1):
            pytest.fail("there is no second process")


def test_a_server_that_dies_under_a_message_is_reported(tmp_path: Path, fragile: dict[str, str]) -> None:
    """A lost connection is the server's failure, not a traceback."""
    with (
        serving(tmp_path / "server", "fragile:app", env=fragile) as server,
        pytest.raises(ServerFailed, match=r"did not answer: "),
    ):
        race(server, "chat", processes=1, each=2)


@pytest.mark.slow
def test_a_refused_message_is_reported_with_the_refusal(tmp_path: Path) -> None:
    """What the guard said is in the error."""
    env = {"SESSIONGUARD_APP": "sessionguard.cli.agent:app", "SESSIONGUARD_STORE": "memory:"}
    with (
        serving(tmp_path / "server", "--factory", "sessionguard.serving:create_app", env=env) as server,
        pytest.raises(ServerFailed, match=r"answered 400: .*invalid_session_key"),
    ):
        race(server, "not,a,key", processes=1, each=2)


def half(*replies: tuple[str, str], transcripts: Any = None, rows: Any = None) -> Half:
    """Build a half from (session id, status) pairs; what is left out is as it should be."""
    told = [Reply(str(number), session_id, 0, number, status) for number, (session_id, status) in enumerate(replies)]
    whole = {FIRST: [reply.message for reply in told]}
    stored = [("agent:main:chat", FIRST)]
    return Half("chat", told, whole if transcripts is None else transcripts, stored if rows is None else rows)


GOOD = ((FIRST, "new"), (FIRST, "joined"), (FIRST, "existing"))


def test_one_conversation_has_no_fault() -> None:
    """One id, one new, one transcript, one row."""
    assert [] == half(*GOOD).faults


@pytest.mark.parametrize(
    ("broken", "fault"),
    [
        (
            half((FIRST, "new"), (SECOND, "joined"), rows=[("agent:main:chat", FIRST), ("agent:main:chat", SECOND)]),
            "one key got 2 session ids",
        ),
        (half((FIRST, "new"), (FIRST, "new")), "not exactly one reply was new"),
        (half((FIRST, "existing"), (FIRST, "existing")), "not exactly one reply was new"),
        (half((FIRST, "new"), (FIRST, "ephemeral")), "not exactly one reply was new"),
        (half(*GOOD, transcripts={FIRST: ["0", "1"]}), "3 messages were sent, but the transcripts hold [2]"),
        (half(*GOOD, transcripts={FIRST: ["0", "1", "2"], SECOND: []}), "the transcripts hold [3, 0]"),
        (half(*GOOD, rows=[]), "the store holds []"),
        (half(*GOOD, rows=[("agent:main:chat", SECOND)]), "the store holds"),
        (half(*GOOD, rows=[("agent:main:chat", FIRST), ("agent:main:other", FIRST)]), "the store holds"),
    ],
    ids=[
        "forked",
        "two new",
        "none new",
        "private",
        "incomplete",
        "two transcripts",
        "no row",
        "other row",
        "two rows",
    ],
)
def test_whatever_breaks_the_promise_is_a_fault(broken: Half, fault: str) -> None:
    """Each rule is judged by itself and named alone."""
    assert [True] == [fault in found for found in broken.faults]


def test_an_agent_alone_that_does_not_fork_is_not_said_to_have_forked(capsys: pytest.CaptureFixture[str]) -> None:
    """Luck is called luck."""
    report.print_verdict(Console(), half(*GOOD), half(*GOOD))
    assert "Alone, the agent did not fork this time" in capsys.readouterr().out


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_to_end_is_an_exit(number: signal.Signals, code: int) -> None:
    """Whatever is open is closed on the way out, and the signal means afterwards what it meant before."""
    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as ended, exit_when_ended():
        signal.raise_signal(number)

    assert (code, before) == (ended.value.code, signal.getsignal(number))


def test_a_deferred_signal_takes_effect_when_the_block_is_done() -> None:
    """A server is never started without being known to those who end it."""
    done: list[str] = []
    with pytest.raises(SystemExit), exit_when_ended():
        with signals_deferred():
            signal.raise_signal(signal.SIGTERM)
            done.append("the block")
        done.append("what follows")

    assert ["the block"] == done


@pytest.mark.parametrize(
    ("executable", "shown"),
    [
        (".venv/bin/python", " .venv/bin/python -m"),
        ("a b/bin/python", " 'a b/bin/python' -m"),
        ("python", "/python -m"),
        ("../bin/python", "/bin/python -m"),
    ],
    ids=["below", "with a blank", "in the directory itself", "elsewhere"],
)
def test_the_server_command_names_this_python_as_seen_from_here(
    executable: str, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relative where that is shorter and still a path, absolute elsewhere."""
    monkeypatch.chdir(tmp_path)
    assert shown in steps("chat", os.path.normpath(tmp_path / executable))[0].command
