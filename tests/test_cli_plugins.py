"""`sessionguard plugins`: real distributions on the path, whole, blocked and broken."""

from __future__ import annotations

import importlib.metadata
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from operators import command, process

from sessionguard.cli import plugin_inspection

pytestmark = pytest.mark.once

GOOD = """
from sessionguard import hookimpl
class Plugin:
    @hookimpl
    def sessionguard_session_resolved(self, scope, resolution): ...
    @hookimpl
    def sessionguard_settings(self):
        return {"SESSIONGUARD_WEATHER": "whether it rains"}
    @hookimpl
    def sessionguard_register_stores(self):
        return {"cloud": None}
"""
BROKEN = {
    "cannot be imported": "import nowhere_to_be_found",
    "did you mean sessionguard_principal?": (
        "from sessionguard import hookimpl\n"
        "class Plugin:\n"
        "    @hookimpl\n"
        "    def sessionguard_principle(self, scope): ...\n"
    ),
    "failed while the guard was built": (
        "from sessionguard import hookimpl\n"
        "class Plugin:\n"
        "    @hookimpl\n"
        "    def sessionguard_settings(self): raise OSError('no weather')\n"
    ),
}


def install(directory: Path, name: str, code: str, distribution: str | None = None) -> None:
    """Put a distribution with one plugin where Python finds it."""
    distribution = distribution or f"sessionguard-{name}"
    (directory / f"{name}_plugin.py").write_text(code)
    info = directory / f"{distribution.replace('-', '_')}-2.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 2.5\n")
    (info / "entry_points.txt").write_text(f"[sessionguard]\n{name} = {name}_plugin:Plugin\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory on the path of this process, of which nothing stays imported."""
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in ("tides_plugin", "weather_plugin"):
        sys.modules.pop(name, None)


def listed(*names: str) -> Any:
    """The plugins of these names as JSON has them, and the exit code."""
    result = command("plugins", "--json")
    found = json.loads(result.stdout)
    return result.exit_code, found["problem"], [each for each in found["plugins"] if each["name"] in names]


def test_the_built_in_plugins_are_listed() -> None:
    """With the version of the package and the hooks they implement."""
    version = importlib.metadata.version("sessionguard")
    code, problem, (openclaw, stores) = listed("openclaw", "stores")

    assert (code, problem) == (0, None)
    assert openclaw == {
        "name": "openclaw",
        "distribution": "sessionguard",
        "version": version,
        "state": "active",
        "hooks": ["sessionguard_session_key"],
        "schemes": [],
        "variables": [],
        "problem": None,
    }
    assert (stores["hooks"], stores["schemes"]) == (["sessionguard_register_stores"], ["disk", "memory", "sqlite"])


def test_an_installed_plugin_is_listed_with_what_it_does(site: Path) -> None:
    """Its hooks in the order in which a guard calls them, its stores and its variables."""
    install(site, "weather", GOOD)
    text = command("plugins").stdout
    code, _, (plugin,) = listed("weather")

    assert code == 0
    assert (plugin["distribution"], plugin["version"], plugin["state"]) == ("sessionguard-weather", "2.5", "active")
    assert (plugin["schemes"], plugin["variables"]) == (["cloud"], ["SESSIONGUARD_WEATHER"])
    assert (
        "active   weather, of sessionguard-weather 2.5\n"
        "         hooks: sessionguard_settings, sessionguard_register_stores, sessionguard_session_resolved\n"
        "         stores: cloud:\n"
        "         variables: SESSIONGUARD_WEATHER\n"
    ) in text + "\n"


def test_a_blocked_plugin_is_listed_and_not_imported(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even one that could not be."""
    install(site, "weather", BROKEN["cannot be imported"])
    monkeypatch.setenv("SESSIONGUARD_DISABLED_PLUGINS", "weather")
    code, problem, (plugin,) = listed("weather")

    assert (code, problem, plugin["state"], plugin["hooks"]) == (0, None, "blocked", [])


@pytest.mark.parametrize("message", BROKEN)
def test_a_broken_plugin_is_a_finding(site: Path, message: str) -> None:
    """It is named with its cure, and the others are judged by themselves."""
    install(site, "weather", BROKEN[message])
    install(site, "tides", GOOD)
    code, problem, (tides, weather) = listed("weather", "tides")

    assert (code, tides["state"], weather["state"]) == (1, "active", "broken")
    assert message in weather["problem"]
    assert "weather" in problem
    assert message in command("plugins").stdout


def test_plugins_that_do_not_go_together_are_a_finding(site: Path) -> None:
    """Each works alone."""
    install(site, "weather", GOOD)
    install(site, "tides", GOOD)
    code, problem, found = listed("weather", "tides")

    assert (code, [each["state"] for each in found]) == (1, ["active", "active"])
    assert "is claimed by the plugins" in problem
    assert "A guard of this environment does not start: " in command("plugins").stdout


def test_a_variable_that_nobody_knows_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """It stops every guard of this environment."""
    monkeypatch.setenv("SESSIONGUARD_WHETHER", "yes")
    code, problem, _ = listed()

    assert code == 1
    assert "unknown sessionguard variable SESSIONGUARD_WHETHER" in problem


def test_a_plugin_of_no_distribution_is_listed_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Import systems of other kinds may offer one."""
    entry = importlib.metadata.EntryPoint("loose", "sessionguard.stores:BuiltinStores", "sessionguard")
    monkeypatch.setattr(plugin_inspection.importlib.metadata, "entry_points", lambda group: [entry])
    _, _, (plugin,) = listed("loose")

    assert (plugin["distribution"], plugin["version"]) == ("", "")


@pytest.mark.slow
def test_the_command_lists_what_is_installed_where_it_runs(tmp_path: Path) -> None:
    """As a process of its own, with the path it is given."""
    install(tmp_path, "weather", BROKEN["cannot be imported"])
    run = process("plugins", PYTHONPATH=str(tmp_path))

    assert run.returncode == 1
    assert "broken   weather, of sessionguard-weather 2.5\n" in run.stdout
