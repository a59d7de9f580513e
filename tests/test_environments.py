"""tox.ini keeps its promises: the tiers name environments that exist, and plugins meet their lowest libraries."""

from __future__ import annotations

import configparser
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import tomllib

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[1]
PLUGINS = [path for path in sorted((ROOT / "plugins").iterdir()) if (path / "pyproject.toml").exists()]

TOX = configparser.ConfigParser(interpolation=None, delimiters=("=",))
TOX.read(ROOT / "tox.ini")


def names(text: str) -> list[str]:
    return re.findall(r"[^\s,\\]+", text)


def expanded(section: str) -> Iterator[str]:
    """Yield the names that the braces of a section stand for."""
    parts = [part.split(",") for part in re.split(r"[{}]", section)]
    yield from ("".join(choice) for choice in itertools.product(*parts))


def test_the_tiers_name_environments_that_exist() -> None:
    """tox makes an environment of any name, and would run the tests of the core in it."""
    defined = {name for section in TOX.sections() for name in expanded(section.removeprefix("testenv:"))}
    labels = [line.partition("=")[2] for line in TOX["tox"]["labels"].replace("\\\n", "").splitlines() if line]
    tiers = [TOX["tox"]["env_list"], *labels]

    assert len(tiers) == 3
    assert [name for tier in tiers for name in names(tier) if name not in defined] == []


def test_every_plugin_that_names_libraries_meets_the_lowest_of_them() -> None:
    """Those that need the guard alone have nothing that could be too old."""
    dependencies = {path.name: tomllib.loads((path / "pyproject.toml").read_text())["project"] for path in PLUGINS}
    naming = [name for name, project in dependencies.items() if len(project["dependencies"]) > 1]
    marked = {
        path.name for path in PLUGINS if any("mark.lowest" in test.read_text() for test in path.glob("tests/*.py"))
    }

    assert naming
    assert [name for name in naming if name not in marked] == []
