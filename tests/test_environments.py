"""tox.ini keeps its promises: every environment is found by a label, and what it leaves out is there to be left out."""

from __future__ import annotations

import re

import pytest
from environments import ENV_LIST, ROOT, names, setting

LABELS = {"fast", "matrix", "plugins"}
TOX = (ROOT / "tox.ini").read_text()


@pytest.mark.parametrize("environment", ENV_LIST)
def test_an_environment_that_ci_runs_has_a_label(environment: str) -> None:
    """Whoever calls all labels misses nothing."""
    assert LABELS & {*names(setting(environment, "labels"))}


@pytest.mark.parametrize("label", sorted(LABELS))
def test_a_label_has_environments(label: str) -> None:
    assert [name for name in ENV_LIST if label in names(setting(name, "labels"))]


@pytest.mark.parametrize("path", sorted({*re.findall(r"--ignore=(\S+)", TOX)}))
def test_what_an_environment_leaves_out_is_there(path: str) -> None:
    """pytest says nothing when a name is wrong, and then leaves nothing out."""
    assert (ROOT / path).exists()


@pytest.mark.parametrize("plugin", sorted(path.name for path in (ROOT / "plugins").iterdir()))
def test_a_plugin_that_names_libraries_is_tested_with_their_lowest_versions(plugin: str) -> None:
    """Those that need the guard alone have nothing that could be too old."""
    (text,) = re.findall(
        r"^dependencies = \[(.+)\]$", (ROOT / "plugins" / plugin / "pyproject.toml").read_text(), re.MULTILINE
    )
    names_libraries = text != '"sessionguard>=0.1"'

    assert (f"plugins/{plugin}/tests" in names(setting("lowest-plugins", "commands"))) is names_libraries
