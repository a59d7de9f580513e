"""Callers and an agent that are stopped and let go by events, so that every order of things can be made to happen."""

from __future__ import annotations

import hypothesis
import pytest
from clean_environment import clean_environment  # noqa: F401 - a fixture
from isolation import only
from sessionguard_turns import entrance
from turns_stage import Agent, Stage

hypothesis.settings.register_profile("tests", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("tests")

only_turns = only("turns", "redis", "postgres")


@pytest.fixture(autouse=True)
def _hands_on_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait after a client that has left; the tests of that wait set it again."""
    monkeypatch.setattr(entrance, "ABANDONED_SECONDS", 0.0)


@pytest.fixture
def agent() -> Agent:
    """The application behind guard and gate."""
    return Agent()


@pytest.fixture
def stage(agent: Agent):
    """Build a gated guard in front of the agent; the options are those of the gate."""
    return lambda **options: Stage(agent, **options)
