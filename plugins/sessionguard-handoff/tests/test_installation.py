"""The distribution, really installed and really uninstalled: fresh environments, and uvicorn as a process in them."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import httpx
import pytest
from fresh_environment import FreshEnvironment
from isolation import DISABLED
from live import LiveServer, running

PROJECT = Path(__file__).parents[1]
pytestmark = [pytest.mark.slow, pytest.mark.once]

LIST_PLUGINS = """
from sessionguard.plugins import PluginRegistry
hooks = PluginRegistry((), ()).implementations()
print(*sorted({each.plugin for implementations in hooks.values() for each in implementations}))
"""
SHOW_FILES = """
import importlib.resources
files = importlib.resources.files("sessionguard_handoff")
print(files, files.joinpath("py.typed").is_file())
"""


def install_line() -> str:
    [line] = re.findall(r"^pip install .*$", (PROJECT / "README.md").read_text(), re.MULTILINE)
    return str(line)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> FreshEnvironment:
    """A fresh environment in which the README's install line was run."""
    environment = FreshEnvironment(tmp_path_factory.mktemp("installed") / "venv")
    environment.install(install_line(), "uvicorn")
    return environment


@pytest.fixture(scope="module")
def uninstalled(tmp_path_factory: pytest.TempPathFactory) -> FreshEnvironment:
    """Another one, from which the plugin was uninstalled."""
    environment = FreshEnvironment(tmp_path_factory.mktemp("uninstalled") / "venv")
    environment.install(install_line(), "uvicorn")
    environment.uninstall("sessionguard-handoff")
    return environment


Serve = Callable[..., AbstractContextManager[LiveServer]]


@pytest.fixture
def serve(tmp_path: Path, store_directory: Path) -> Serve:
    """Serve the guarded agent with an environment's own uvicorn."""

    def serve(environment: FreshEnvironment, **variables: str) -> AbstractContextManager[LiveServer]:
        command = [str(environment.python), "-m", "uvicorn", "--factory", "sessionguard.serving:create_app"]
        command += ["--host", "127.0.0.1", "--port", "0", "--app-dir", str(Path(__file__).parent)]
        settings = {"SESSIONGUARD_APP": "agent:agent", "SESSIONGUARD_STORE": f"disk://{store_directory}"}
        return running(command, 0, tmp_path, {**settings, **variables})

    return serve


@pytest.fixture(autouse=True)
def _no_neighbours(only_handoff: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are not installed there, and a missing plugin cannot be disabled."""
    monkeypatch.delenv(DISABLED, raising=False)


@pytest.fixture(params=["uninstalled", "disabled"])
def serve_without(
    request: pytest.FixtureRequest, serve: Serve, installed: FreshEnvironment, uninstalled: FreshEnvironment
) -> Serve:
    """Serve without the plugin: it is not there, or it is left out by its name."""
    if request.param == "uninstalled":
        return partial(serve, uninstalled)
    return partial(serve, installed, SESSIONGUARD_DISABLED_PLUGINS="handoff")


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch, secret: str) -> str:
    """The secret callers use; here each test decides whether the server's environment holds it."""
    monkeypatch.delenv("SESSIONGUARD_HANDOFF_SECRETS")
    return secret


def test_an_installed_plugin_is_listed_by_its_name(installed: FreshEnvironment) -> None:
    """The guard finds it by its entry point, beside the built-in ones."""
    assert ["handoff", "stores"] == installed.run("-c", LIST_PLUGINS).split()


def test_an_uninstalled_plugin_is_not_listed(uninstalled: FreshEnvironment) -> None:
    """Nothing of it is left behind."""
    assert ["stores"] == uninstalled.run("-c", LIST_PLUGINS).split()


def test_the_installed_package_is_typed_and_not_the_checkout(installed: FreshEnvironment) -> None:
    """What is tested here is the wheel's content."""
    directory, typed = installed.run("-c", SHOW_FILES).split()

    assert "True" == typed
    assert Path(directory).is_relative_to(installed.directory)


def test_an_installed_plugin_accepts_a_valid_token(
    serve: Serve, installed: FreshEnvironment, secret: str, handoff: dict[str, str]
) -> None:
    """Installing it and configuring a secret is all there is to do."""
    with serve(installed, SESSIONGUARD_HANDOFF_SECRETS=secret) as server:
        response = httpx.get(server.url, headers=handoff)

    assert "ephemeral" == response.json()["origin"]


def test_an_installed_plugin_refuses_the_marker_without_a_secret(
    serve: Serve, installed: FreshEnvironment, handoff: dict[str, str]
) -> None:
    """Installing it alone opens nothing."""
    with serve(installed) as server:
        response = httpx.get(server.url, headers=handoff)

    assert 403 == response.status_code


def test_an_installed_plugin_stops_the_start_for_a_bad_secret(serve: Serve, installed: FreshEnvironment) -> None:
    """The server ends before it listens, and its output names the variable."""
    bad = {"SESSIONGUARD_HANDOFF_SECRETS": "short"}
    with pytest.raises(RuntimeError, match="SESSIONGUARD_HANDOFF_SECRETS: entry 1 of 1"), serve(installed, **bad):
        pass


def test_without_the_plugin_the_marker_is_ignored_and_removed(serve_without: Serve, handoff: dict[str, str]) -> None:
    """No plugin judges it, so the request is an ordinary one; the core strips both headers all the same."""
    with serve_without() as server:
        seen = httpx.get(server.url, headers=handoff).json()

    assert "new" == seen["origin"]
    assert not {"x-openclaw-session-effects", "x-openclaw-handoff-token"} & {*seen["headers"]}


def test_without_the_plugin_its_variable_stops_the_start(serve_without: Serve, secret: str) -> None:
    """A secret nobody reads is a mistake that is told at once."""
    told = "ConfigurationError: unknown sessionguard variable SESSIONGUARD_HANDOFF_SECRETS"
    with pytest.raises(RuntimeError, match=told), serve_without(SESSIONGUARD_HANDOFF_SECRETS=secret):
        pass
