"""The distribution, really installed and really uninstalled: fresh environments, and uvicorn as a process in them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import venv
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import httpx
import pytest
from live import LiveServer, free_port, running

PROJECT = Path(__file__).parents[1]
CHECKOUT = PROJECT.parents[1]
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


class Environment:
    """A virtual environment that sees nothing of the one the tests run in."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.python = str(directory / "bin" / "python")

    def shell(self, line: str) -> None:
        """Run a line in the checkout, as somebody who has activated the environment."""
        path = os.pathsep.join([str(self.directory / "bin"), os.environ["PATH"]])
        subprocess.run(line, shell=True, cwd=CHECKOUT, env={**os.environ, "PATH": path}, timeout=300, check=True)

    def run(self, *arguments: str) -> str:
        """Run the environment's Python away from the checkout; returns what it printed."""
        command = [self.python, *arguments]
        return subprocess.run(
            command, cwd=self.directory, stdout=subprocess.PIPE, text=True, timeout=300, check=True
        ).stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """A fresh environment in which the README's install line was run; pip builds both wheels and installs them."""
    environment = Environment(tmp_path_factory.mktemp("installed") / "venv")
    venv.create(environment.directory, with_pip=True)
    [line] = re.findall(r"^pip install .*$", (PROJECT / "README.md").read_text(), re.MULTILINE)
    environment.shell(f"{line} uvicorn --quiet")
    return environment


@pytest.fixture(scope="module")
def uninstalled(installed: Environment, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """A copy of that environment from which the plugin was uninstalled."""
    environment = Environment(tmp_path_factory.mktemp("uninstalled") / "venv")
    shutil.copytree(installed.directory, environment.directory, symlinks=True)
    environment.run("-m", "pip", "uninstall", "--yes", "--quiet", "sessionguard-handoff")
    return environment


Serve = Callable[..., AbstractContextManager[LiveServer]]


@pytest.fixture
def serve(tmp_path: Path, store_directory: Path) -> Serve:
    """Serve the guarded agent with an environment's own uvicorn."""

    def serve(environment: Environment, **variables: str) -> AbstractContextManager[LiveServer]:
        port = free_port()
        command = [environment.python, "-m", "uvicorn", "--factory", "sessionguard.serving:create_app"]
        command += ["--host", "127.0.0.1", "--port", str(port), "--app-dir", str(Path(__file__).parent)]
        settings = {"SESSIONGUARD_APP": "agent:agent", "SESSIONGUARD_STORE": f"disk://{store_directory}"}
        return running(command, port, tmp_path, {**settings, **variables})

    return serve


@pytest.fixture(params=["uninstalled", "disabled"])
def serve_without(
    request: pytest.FixtureRequest, serve: Serve, installed: Environment, uninstalled: Environment
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


def test_an_installed_plugin_is_listed_by_its_name(installed: Environment) -> None:
    """The guard finds it by its entry point, beside the built-in ones."""
    assert ["handoff", "stores"] == installed.run("-c", LIST_PLUGINS).split()


def test_an_uninstalled_plugin_is_not_listed(uninstalled: Environment) -> None:
    """Nothing of it is left behind."""
    assert ["stores"] == uninstalled.run("-c", LIST_PLUGINS).split()


def test_the_installed_package_is_typed_and_not_the_checkout(installed: Environment) -> None:
    """What is tested here is the wheel's content."""
    directory, typed = installed.run("-c", SHOW_FILES).split()

    assert "True" == typed
    assert Path(directory).is_relative_to(installed.directory)


def test_an_installed_plugin_accepts_a_valid_token(
    serve: Serve, installed: Environment, secret: str, handoff: dict[str, str]
) -> None:
    """Installing it and configuring a secret is all there is to do."""
    with serve(installed, SESSIONGUARD_HANDOFF_SECRETS=secret) as server:
        response = httpx.get(server.url, headers=handoff)

    assert "ephemeral" == response.json()["origin"]


def test_an_installed_plugin_refuses_the_marker_without_a_secret(
    serve: Serve, installed: Environment, handoff: dict[str, str]
) -> None:
    """Installing it alone opens nothing."""
    with serve(installed) as server:
        response = httpx.get(server.url, headers=handoff)

    assert 403 == response.status_code


def test_an_installed_plugin_stops_the_start_for_a_bad_secret(serve: Serve, installed: Environment) -> None:
    """The server ends before it listens, and its output names the variable."""
    bad = {"SESSIONGUARD_HANDOFF_SECRETS": "short"}
    with pytest.raises(RuntimeError, match="SESSIONGUARD_HANDOFF_SECRETS: entry 1 of 1"), serve(installed, **bad):
        pass


def test_without_the_plugin_the_marker_is_ignored(serve_without: Serve, handoff: dict[str, str]) -> None:
    """Nobody judges the marker, so the request is an ordinary one."""
    with serve_without() as server:
        response = httpx.get(server.url, headers=handoff)

    assert "new" == response.json()["origin"]


def test_without_the_plugin_both_headers_are_still_removed(serve_without: Serve, handoff: dict[str, str]) -> None:
    """The core strips them whether anybody reads them or not."""
    with serve_without() as server:
        response = httpx.get(server.url, headers=handoff)

    assert not {"x-openclaw-session-effects", "x-openclaw-handoff-token"} & set(response.json()["headers"])


def test_without_the_plugin_its_variable_stops_the_start(serve_without: Serve, secret: str) -> None:
    """A secret nobody reads is a mistake that is told at once."""
    told = "ConfigurationError: unknown sessionguard variable SESSIONGUARD_HANDOFF_SECRETS"
    with pytest.raises(RuntimeError, match=told), serve_without(SESSIONGUARD_HANDOFF_SECRETS=secret):
        pass
