"""The distribution, really installed and really uninstalled: a fresh environment, and the guard in it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from fresh_environment import FreshEnvironment

pytestmark = [pytest.mark.slow, pytest.mark.once]

PROJECT = Path(__file__).parents[1]
SHOW = """
import importlib.util, json, os
os.environ["SESSIONGUARD_STORE"] = "memory:"
import sessionguard
guard = sessionguard.SessionGuard(print)
spec = importlib.util.find_spec("sessionguard_turns")
files = spec and os.listdir(os.path.dirname(spec.origin))
print(json.dumps([guard._app.__name__, bool(files) and "py.typed" in files, bool(spec) and spec.origin]))
"""


def test_a_guard_has_a_gate_when_the_plugin_is_installed_and_none_when_it_is_not(tmp_path: Path) -> None:
    """The README's install line is all there is to do, and uninstalling leaves nothing behind."""
    environment = FreshEnvironment(tmp_path / "venv")
    [line] = re.findall(r"^pip install .*$", (PROJECT / "README.md").read_text(), re.MULTILINE)
    environment.install(line)
    name, typed, origin = json.loads(environment.run("-c", SHOW))
    environment.uninstall("sessionguard-turns")
    without = json.loads(environment.run("-c", SHOW))

    assert ("enter", True) == (name, typed)
    assert origin.startswith(str(environment.directory))
    assert ["new_application", False, False] == without
