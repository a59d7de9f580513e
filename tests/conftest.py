"""Fixtures every test may use. Nothing here is a fake: stores are real directories, servers are real processes."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of the machine reaches a test, and no test reaches the user's own state directory."""
    import os

    for name in [name for name in os.environ if name.startswith("SESSIONGUARD_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    """The URL of a fresh disk store."""
    return f"disk://{tmp_path / 'sessions'}"
