"""An environment for the guards of one plugin's suite, although all plugins are installed beside each other."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from typing import Any

import pytest

DISABLED = "SESSIONGUARD_DISABLED_PLUGINS"


def neighbours(*plugins: str) -> str:
    """Return the names of all other installed plugins, as the variable that disables them wants them."""
    return ",".join(sorted({entry.name for entry in entry_points(group="sessionguard")} - {*plugins}))


def only(*plugins: str) -> Callable[..., Any]:
    """Make a fixture for a conftest: every guard of the suite, in every process, has these plugins and no others."""

    @pytest.fixture(autouse=True)
    def _only(clean_environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
        if others := neighbours(*plugins):
            monkeypatch.setenv(DISABLED, others)

    return _only


@contextlib.contextmanager
def environment_of(*plugins: str) -> Iterator[None]:
    """The same for a fixture that several tests share, which pytest sets up before those of a single test."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("SESSIONGUARD_")]:
            patch.delenv(name)
        if others := neighbours(*plugins):
            patch.setenv(DISABLED, others)
        yield
