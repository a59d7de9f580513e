"""Fixtures every test may use. Nothing here is a fake: stores are real directories, servers are real processes."""

from __future__ import annotations

import contextlib
import platform
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from clean_environment import clean_environment  # noqa: F401 - a fixture

with contextlib.suppress(ImportError):  # Not every environment has it.
    import hypothesis

    hypothesis.settings.register_profile("tests", deadline=None, derandomize=True, database=None)
    hypothesis.settings.load_profile("tests")

APART = {"applications", "floors", "frameworks", "openclaw", "servers", "site", "template", "trials"}


def pytest_sessionstart() -> None:
    """Take Ctrl-C: what a script runs in the background ignores it, and so would every process that is tested here."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out the directories that have an environment of their own, unless they are named."""
    is_named = any(f"tests/{collection_path.name}" in argument for argument in config.args)
    return True if collection_path.name in APART and not is_named else None


@pytest.fixture(autouse=True)
def _python(record_property: Callable[[str, object], None]) -> None:
    """Record the Python of each test, for the page of the matrix."""
    record_property("python", platform.python_version())


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    """The URL of a fresh disk store."""
    return f"disk://{tmp_path / 'sessions'}"
