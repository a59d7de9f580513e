"""examples/custom_store.py is a store by the same standard as ours."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from sessionguard import SessionStore
from sessionguard.testing import SessionStoreContract

pytestmark = pytest.mark.once

EXAMPLE = Path(__file__).parents[2] / "examples" / "custom_store.py"


class TestJsonFilesStore(SessionStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> SessionStore:
        specification = importlib.util.spec_from_file_location("custom_store", EXAMPLE)
        assert specification is not None
        assert specification.loader is not None
        module = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(module)
        store: SessionStore = module.JsonFilesStore(tmp_path / "sessions")
        return store


def test_the_example_runs_as_it_says(tmp_path: Path) -> None:
    """It prints one new conversation and one row."""
    run = subprocess.run([sys.executable, EXAMPLE], cwd=tmp_path, capture_output=True, text=True, check=True)

    assert run.stdout.count("'new'") == 1
    assert run.stdout.count("one row: default//agent:main:my-chat -> ") == 1
