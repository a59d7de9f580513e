"""The settings: arguments of the gate and variables of the environment, and how far a gate reaches."""

from __future__ import annotations

import contextlib
import logging
from typing import Any

import pytest
from sessionguard_turns import Mode, TurnGate, TurnSettings, TurnsPlugin
from turns_stage import Agent

from sessionguard import ConfigurationError, SessionGuard
from sessionguard.proxy import ReverseProxy
from sessionguard.stores.memory import MemoryStore
from sessionguard.testing.failing_store import FailingStore

READ = [
    ("mode", "first", Mode.FIRST),
    ("mode", " REJECT ", Mode.REJECT),
    ("paths", "/v1/*=wait, /health=off", (("/v1/*", Mode.WAIT), ("/health", Mode.OFF))),
    ("wait_timeout", "90", 90.0),
    ("wait_timeout", "2m", 120.0),
    ("queue_limit", "0", 0),
    ("total_limit", "5", 5),
]
ILLEGAL = [
    ("mode", "sometimes"),
    ("paths", "/v1/*"),
    ("paths", "v1=wait"),
    ("paths", "/v1=sometimes"),
    ("wait_timeout", "0"),
    ("wait_timeout", "soon"),
    ("queue_limit", "-1"),
    ("total_limit", "many"),
]


@pytest.mark.parametrize(("name", "text", "value"), READ)
def test_text_is_read_the_same_way_in_both_places(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, value: object
) -> None:
    """As an argument and as a variable."""
    argument = TurnSettings.load({name: text}, {})
    variable = TurnSettings.load({}, {f"SESSIONGUARD_TURNS_{name.upper()}": text})

    assert [value, value] == [getattr(each, name) for each in (argument, variable)]


@pytest.mark.parametrize(("name", "text"), ILLEGAL)
@pytest.mark.parametrize("place", ["argument", "variable"])
def test_what_is_not_legal_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, agent: Agent, name: str, text: str, place: str
) -> None:
    """With an error that names the place, and what is expected."""
    variable = f"SESSIONGUARD_TURNS_{name.upper()}"
    if place == "variable":
        monkeypatch.setenv(variable, text)
    with pytest.raises(ConfigurationError) as caught:
        TurnGate(agent, **({name: text} if place == "argument" else {}))

    assert str(caught.value).startswith(f"{name if place == 'argument' else variable}: ")
    assert "is not legal; expected" in str(caught.value)


def test_an_unknown_argument_is_an_error(agent: Agent) -> None:
    """It names those there are."""
    with pytest.raises(ConfigurationError, match="unknown argument moode of a turn gate; known are mode, paths"):
        TurnGate(agent, moode="wait")


def test_an_argument_wins_over_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """As everywhere in this package."""
    assert Mode.WAIT is TurnSettings.load({"mode": "wait"}, {"SESSIONGUARD_TURNS_MODE": "off"}).mode


def test_an_application_may_prefer_a_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy does; a variable and an argument win over that."""
    proxy = ReverseProxy("http://127.0.0.1:1")
    preferred = TurnGate(proxy)._settings.mode
    argument = TurnGate(proxy, mode="wait")._settings.mode
    monkeypatch.setenv("SESSIONGUARD_TURNS_MODE", "off")
    variable = TurnGate(proxy)._settings.mode

    assert (Mode.FIRST, Mode.WAIT, Mode.OFF) == (preferred, argument, variable)


@pytest.mark.parametrize(
    ("path", "mode"), [("/v1/chat", Mode.WAIT), ("/v1/health", Mode.OFF), ("/", Mode.FIRST), ("/v2", Mode.FIRST)]
)
def test_the_first_pattern_that_matches_counts(path: str, mode: Mode) -> None:
    """And the mode of the gate where none does."""
    settings = TurnSettings.load({"mode": "first", "paths": "/v1/health=off,/v1/*=wait"}, {})

    assert mode is settings.mode_of(path)


def test_a_guard_knows_the_variables_of_the_gate(monkeypatch: pytest.MonkeyPatch, agent: Agent) -> None:
    """A misspelt one stops the start."""
    monkeypatch.setenv("SESSIONGUARD_TURNS_MOD", "wait")
    with pytest.raises(ConfigurationError, match="did you mean SESSIONGUARD_TURNS_MODE"):
        SessionGuard(agent, store="memory:", plugins=[TurnsPlugin])


def test_attributes_of_the_application_stay_reachable(agent: Agent) -> None:
    """Through guard and gate."""
    guard = SessionGuard(TurnGate(agent), store="memory:")

    assert guard.order is agent.order
    with pytest.raises(AttributeError):
        _ = guard.colour


async def test_an_asgi_2_application_is_accepted(stage: Any) -> None:
    """As by the guard."""

    def application(scope: Any) -> Any:
        async def instance(receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": scope["session_id"].encode()})

        return instance

    play = stage()
    play.guard = SessionGuard(TurnGate(application), store="memory:")

    assert (await play.post("first").answered()).content


async def test_other_scopes_and_unguarded_requests_pass(agent: Agent, stage: Any) -> None:
    """A gate without a guard in front knows no conversations."""
    seen: list[str] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    gate = TurnGate(application)
    for kind in ("lifespan", "http", "lantern"):
        await gate({"type": kind, "headers": []}, None, None)

    assert ["lifespan", "http", "lantern"] == seen


class Leaseless(FailingStore):
    """A store that reaches as far as it is told, and has no leases."""

    def __init__(self, coordination: str) -> None:
        super().__init__(MemoryStore(), lambda call: None)
        self.coordination = coordination


@pytest.mark.parametrize(
    ("store", "needed", "mode", "starts"),
    [
        ("host", None, "wait", True),
        ("host", "process", "wait", True),
        ("host", "host", "wait", False),
        ("host", "host", "reject", False),
        ("host", "host", "first", False),
        ("host", "host", "off", True),
        ("cluster", "cluster", "wait", False),
    ],
)
def test_without_leases_a_gate_serves_one_process(
    agent: Agent, store: str, needed: Any, mode: str, starts: bool
) -> None:
    """A deployment that is wider is refused, unless the gate is off."""
    expected = contextlib.nullcontext() if starts else pytest.raises(ConfigurationError, match="has no leases")
    with expected:
        SessionGuard(agent, store=Leaseless(store), coordination=needed, plugins=[TurnsPlugin(mode=mode)])


@pytest.mark.parametrize(
    ("store", "line"),
    [
        (Leaseless("host"), "has no leases: turns are kept within one process only"),
        (MemoryStore(), "turns are kept within one process, as the conversations are"),
        ("disk:", "turns are kept by leases in"),
    ],
    ids=["no leases", "memory", "disk"],
)
def test_how_far_turns_are_kept_apart_is_said_at_the_start(
    agent: Agent, caplog: pytest.LogCaptureFixture, store: Any, line: str
) -> None:
    """Once, and by a gate that is not off."""
    caplog.set_level(logging.INFO, "sessionguard")
    SessionGuard(agent, store=store, plugins=[TurnsPlugin(mode="off")])
    assert "turns" not in caplog.text
    SessionGuard(agent, store=store, plugins=[TurnsPlugin()])

    assert 1 == sum(line in message for message in caplog.messages)
