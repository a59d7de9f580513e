"""`sessionguard run` and `proxy`: real servers from the command line, and what they say of their configuration."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from live import LiveServer, free_port, running
from operators import COMMAND, SILENT, command

from sessionguard import GuardSettings
from sessionguard.cli.configuration import configure
from sessionguard.cli.main import main

pytestmark = pytest.mark.once

KEY = {"x-openclaw-session-key": "my-chat"}

AGENT = """
import json, os
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    told = {"id": scope.get("session_id"), "process": os.getpid(), "version": 1}
    headers = dict(scope["headers"])
    told["forwarded"] = headers.get(b"x-openclaw-session-id", b"").decode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": json.dumps(told).encode()})
"""


@contextlib.contextmanager
def served(tmp_path: Path, *arguments: str, **env: str) -> Iterator[LiveServer]:
    """Run a command that serves, in a directory with an application."""
    (tmp_path / "agent.py").write_text(AGENT)
    port = free_port()
    line = [str(COMMAND), *arguments, "--port", str(port)]
    with running(line, port, tmp_path, {**SILENT, **env}) as server:
        yield server


def ask(server: LiveServer) -> httpx.Response:
    # A connection of its own each time, so that workers take turns.
    return httpx.get(server.url, headers=KEY, timeout=20, trust_env=False)


@pytest.mark.slow
def test_an_application_is_served_behind_a_guard(tmp_path: Path) -> None:
    """From the current directory, without a line changed."""
    with served(tmp_path, "run", "agent:app", "--store", f"disk://{tmp_path}/store") as server:
        first, second = ask(server), ask(server)
        code = server.stop(signal.SIGINT)

    assert [answer.headers["x-sessionguard-status"] for answer in (first, second)] == ["new", "existing"]
    assert first.json()["id"] == second.json()["id"] != None  # noqa: E711 - one id, and not none
    assert code == 0


@pytest.mark.slow
def test_several_workers_share_their_conversations(tmp_path: Path) -> None:
    """The options reach them, and so does the demand for a store that they can share."""
    store = f"disk://{tmp_path}/store"
    with served(tmp_path, "run", "agent:app", "--workers", "2", "--store", store, "--namespace", "two") as server:
        answers = [ask(server).json()]
        while len({answer["process"] for answer in answers}) < 2:
            answers.append(ask(server).json())
        said = server.output

    assert len({answer["process"] for answer in answers}) == 2
    assert len({answer["id"] for answer in answers}) == 1
    assert "coordination       host  [--workers]" in said
    assert command("sessions", "show", "my-chat", "--store", store, "--namespace", "two").exit_code == 0


@pytest.mark.slow
def test_a_change_of_the_application_is_served_at_once(tmp_path: Path) -> None:
    """For development."""
    with served(tmp_path, "run", "agent:app", "--reload", "--store", "memory:") as server:
        before = after = ask(server).json()["version"]
        saved = 0.0
        while after == before:
            # Saved anew until it is seen: what changes before whoever watches has looked once is no change. And of
            # another length, since within one second that is all by which Python tells its bytecode to be old.
            if time.monotonic() > saved + 5:
                (tmp_path / "agent.py").write_text(AGENT.replace('"version": 1', '"version": 22'))
                saved = time.monotonic()
            with contextlib.suppress(httpx.TransportError):
                after = ask(server).json()["version"]

    assert (before, after) == (1, 22)


@pytest.mark.slow
def test_an_upstream_is_served_behind_a_guard(tmp_path: Path) -> None:
    """The id reaches it in a header; two workers, one conversation."""
    with (
        served(tmp_path, "run", "agent:app", "--store", "memory:") as upstream,
        served(tmp_path, "proxy", upstream.url, "--workers", "2", "--store", f"disk://{tmp_path}/store") as server,
    ):
        answers = [ask(server) for _ in range(6)]
        said = server.output

    assert len({answer.json()["forwarded"] for answer in answers}) == 1
    assert [answer.headers["x-sessionguard-status"] for answer in answers] == ["new"] + ["existing"] * 5
    assert f"Forwarding to {upstream.url} behind SessionGuard, with:" in said


@pytest.mark.slow
def test_the_configuration_is_printed_once_with_its_sources_and_without_secrets(tmp_path: Path) -> None:
    """An option wins over the environment, and that over the default."""
    secret = "a secret of many characters"
    options = ("--store", f"disk://{tmp_path}/store", "--reset", "idle=60m", "--workers", "2")
    env = {"SESSIONGUARD_RESET": "daily@4", "SESSIONGUARD_KEY_SECRET": secret, "SESSIONGUARD_REQUIRE_KEY": "/v1/*"}
    with served(tmp_path, "run", "agent:app", *options, **env) as server:
        ask(server)
        said = server.output

    expected = [
        f"  store              disk://{tmp_path}/store  [--store]",
        "  namespace          default  [default]",
        "  reset              idle=60m  [--reset]",
        "  key_secret         (hidden)  [SESSIONGUARD_KEY_SECRET]",
        "  require_key        /v1/*  [SESSIONGUARD_REQUIRE_KEY]",
        "  aliases            none  [default]",
        "  touch_interval     60  [default]",
        "  status_header      on  [default]",
        "  retention          none  [default]",
    ]
    assert [said.count(f"{line}\n") for line in expected] == [1] * len(expected)
    assert secret not in said


WRONG = {
    "no module": (["run", "nowhere:app"], "there is no module nowhere"),
    "no attribute": (["run", "agent:nothing"], "agent has no attribute nothing"),
    "no import": (["run", "agent"], "must name the application to guard, as module:attribute"),
    "an illegal setting": (["run", "agent:app", "--reset", "sometimes"], "reset: 'sometimes' is not understood"),
    "an illegal variable": (["run", "agent:app"], "unknown sessionguard variable SESSIONGUARD_WHETHER"),
    "a store of one process for two": (
        ["run", "agent:app", "--workers", "2", "--store", "memory:"],
        "SESSIONGUARD_COORDINATION asks for host",
    ),
    "no upstream": (["proxy", "ftp://127.0.0.1"], "upstream: 'ftp://127.0.0.1' is not legal"),
    "an upstream with a password": (["proxy", "http://me:secret@127.0.0.1"], "a URL with a user (hidden) is not legal"),
    "no patience": (["proxy", "http://127.0.0.1", "--connect-timeout", "0"], "connect_timeout: 0.0 is not legal"),
}


@pytest.mark.parametrize(("arguments", "message"), WRONG.values(), ids=WRONG)
def test_what_cannot_work_is_a_wrong_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, process_alone: None, arguments: list[str], message: str
) -> None:
    """Said before anything listens, in one line."""
    (tmp_path / "agent.py").write_text(AGENT)
    monkeypatch.chdir(tmp_path)
    if "VARIABLE" in message or "variable" in message:
        monkeypatch.setenv("SESSIONGUARD_WHETHER", "x")
    result = command(*arguments)

    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert "secret" not in result.stderr
    assert "Traceback" not in result.stderr


@pytest.fixture
def process_alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a command does to its process is undone: it changes the environment and the path."""
    import sys

    before = dict(os.environ)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield
    os.environ.clear()
    os.environ.update(before)
    for name in ("agent", "brief"):
        sys.modules.pop(name, None)


BRIEF = """
import os, signal
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup." + os.environ["OUTCOME"]})
        os.kill(int(os.environ["LEADER"]), signal.SIGTERM)
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
"""
"""An application that ends its server as soon as that has started."""


@pytest.mark.parametrize(
    ("arguments", "outcome", "code"),
    [
        (("run", "brief:app", "--store", "memory:"), "complete", 0),
        (("proxy", "http://127.0.0.1:1", "--workers", "1"), None, 0),
    ],
)
def test_a_server_that_is_asked_to_end_ends_well(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    process_alone: None,
    capfd: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    outcome: str | None,
    code: int,
) -> None:
    """In this process, as uvicorn runs it; nothing of it is left."""
    (tmp_path / "brief.py").write_text(BRIEF)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LEADER", str(os.getpid()))
    monkeypatch.setenv("OUTCOME", outcome or "")
    port = str(free_port())
    monkeypatch.setattr("sys.argv", ["sessionguard", *arguments, "--port", port])
    ender = None if outcome else _end_when_listening(int(port))
    with pytest.raises(SystemExit) as ended, _handlers_kept():
        main()
    if ender is not None:
        ender.join()

    assert ended.value.code == code
    assert "behind SessionGuard, with:" in capfd.readouterr().err


@contextlib.contextmanager
def _handlers_kept() -> Iterator[None]:
    """uvicorn raises a signal again when it has ended, which is nothing to us, and leaves handlers of its own."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU)
    before = {number: signal.getsignal(number) for number in numbers}
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end_when_listening(port: int) -> Any:
    import threading

    def end() -> None:
        server = LiveServer(SimpleNamespace(poll=lambda: None), port, Path("/dev/null"))  # type: ignore[arg-type]
        server.wait_until_listening()
        os.kill(os.getpid(), signal.SIGTERM)

    ender = threading.Thread(target=end)
    ender.start()
    return ender


def test_an_application_that_does_not_start_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, process_alone: None
) -> None:
    """And not the exit code that uvicorn has for it."""
    (tmp_path / "brief.py").write_text(BRIEF.replace("os.kill", "(lambda *a: None)"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LEADER", "0")
    monkeypatch.setenv("OUTCOME", "failed")
    monkeypatch.setattr(
        "sys.argv", ["sessionguard", "run", "brief:app", "--store", "memory:", "--port", str(free_port())]
    )
    with pytest.raises(SystemExit) as ended:
        main()

    assert ended.value.code == 1


def test_variables_of_plugins_are_printed_without_their_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any of them may be a secret."""
    from sessionguard import hookimpl
    from sessionguard import plugins as plugins_module

    class Weather:
        @hookimpl
        def sessionguard_settings(self) -> Mapping[str, str]:
            return {"SESSIONGUARD_WEATHER": "whether it rains", "SESSIONGUARD_TIDES": "when they come"}

    monkeypatch.setattr(plugins_module, "_installed", lambda: {"weather": None})
    monkeypatch.setattr(plugins_module, "_load", lambda entry: Weather)
    environ = {"SESSIONGUARD_WEATHER": "rain", "SESSIONGUARD_KEY_SECRET": "a secret of many characters"}
    lines = list(configure({"namespace": "two"}, {}, environ).lines())

    assert lines[-1] == "  SESSIONGUARD_WEATHER (hidden)  [environment]"
    assert "  key_secret         (hidden)  [SESSIONGUARD_KEY_SECRET]" in lines
    assert "secret of" not in " ".join(lines)
    assert environ["SESSIONGUARD_NAMESPACE"] == "two"
    assert len(lines) == len(GuardSettings.__dataclass_fields__) - 1 + 1
