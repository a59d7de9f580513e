"""Callers and an agent that are stopped and let go by events, so that every order of things can be made to happen."""

from __future__ import annotations

import pytest
from turns_stage import Agent, Stage


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    """No setting of the machine reaches a test, and no test reaches the user's own state directory."""
    import os

    for name in [name for name in os.environ if name.startswith("SESSIONGUARD_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def agent() -> Agent:
    """The application behind guard and gate."""
    return Agent()


@pytest.fixture
def stage(agent: Agent):
    """Build a gated guard in front of the agent; the options are those of the gate."""
    return lambda **options: Stage(agent, **options)
