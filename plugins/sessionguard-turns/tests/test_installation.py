"""The distribution, really installed and really uninstalled: a fresh environment, and the guard in it."""

from __future__ import annotations

import os
import re
import subprocess
import venv
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
CHECKOUT = PROJECT.parents[1]
SHOW = """
import importlib.util, json, os
os.environ["SESSIONGUARD_STORE"] = "memory:"
import sessionguard
guard = sessionguard.SessionGuard(print)
spec = importlib.util.find_spec("sessionguard_turns")
files = spec and os.listdir(os.path.dirname(spec.origin))
print(json.dumps([guard._app.__name__, bool(files) and "py.typed" in files, bool(spec) and spec.origin]))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a fresh environment in which the README's install line was run; pip builds both wheels."""
    directory = tmp_path_factory.mktemp("installed") / "venv"
    venv.create(directory, with_pip=True)
    [line] = re.findall(r"^pip install .*$", (PROJECT / "README.md").read_text(), re.MULTILINE)
    path = os.pathsep.join([str(directory / "bin"), os.environ["PATH"]])
    subprocess.run(
        f"{line} --quiet", shell=True, cwd=CHECKOUT, env={**os.environ, "PATH": path}, timeout=300, check=True
    )
    return directory / "bin" / "python"


def shown(python: Path, tmp_path: Path) -> list[object]:
    import json

    run = subprocess.run([python, "-c", SHOW], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    return list(json.loads(run.stdout))


def test_a_guard_has_a_gate_when_the_plugin_is_installed_and_none_when_it_is_not(python: Path, tmp_path: Path) -> None:
    """Installing it is all there is to do, and uninstalling it leaves nothing behind."""
    with_it = shown(python, tmp_path)
    subprocess.run([python, "-m", "pip", "uninstall", "--yes", "--quiet", "sessionguard-turns"], check=True)
    without = shown(python, tmp_path)

    assert ["enter", True] == with_it[:2]
    assert str(with_it[2]).startswith(str(python.parents[1]))
    assert ["new_application", False, False] == without
