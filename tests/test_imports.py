"""Importing the package loads the installed wheel, and only the modules that are needed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import sessionguard

OPTIONAL = {"diskcache", "httpx", "pytest", "typer", "rich", "uvicorn", "sqlite3"}


@pytest.mark.skipif("TOX_ENV_NAME" not in os.environ, reason="only tox promises to test the wheel")
def test_the_package_under_test_is_the_installed_wheel() -> None:
    """Not the checkout that happens to lie in the current directory."""
    assert Path(sessionguard.__file__).is_relative_to(sys.prefix)


def _loaded_by(code: str, tmp_path: Path) -> set[str]:
    run = [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"]
    return set(subprocess.run(run, capture_output=True, text=True, check=True, cwd=tmp_path).stdout.split())


@pytest.mark.parametrize(
    "code",
    ["import sessionguard", "import sessionguard\nsessionguard.SessionGuard(print, store='memory:')"],
    ids=["importing the package", "building a guard"],
)
def test_what_is_not_used_is_not_imported(code: str, tmp_path: Path) -> None:
    """Stores bring their libraries when they are chosen, and extras stay extras."""
    loaded = _loaded_by(code, tmp_path)

    assert "sessionguard.middleware" in loaded
    assert loaded & OPTIONAL == set()


def test_importing_the_package_leaves_its_outer_parts_alone(tmp_path: Path) -> None:
    """Nothing is paid for an unused option."""
    outer = ("sessionguard.stores.disk", "sessionguard.testing", "sessionguard.cli")

    assert [module for module in _loaded_by("import sessionguard", tmp_path) if module.startswith(outer)] == []
