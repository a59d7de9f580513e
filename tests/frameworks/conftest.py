"""The option that names the framework, and its application as a live server."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import httpx
import pytest
from frameworks.framework import FRAMEWORKS, Framework
from live import LiveServer, uvicorn

APPS = Path(__file__).parents[1] / "apps"

Serve = Callable[[], contextlib.AbstractContextManager[LiveServer]]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--framework", metavar="NAME", help=f"the framework to test: {', '.join(FRAMEWORKS)}")


def pytest_configure(config: pytest.Config) -> None:
    if _is_the_matrix(config) and config.option.framework not in FRAMEWORKS:
        given = config.option.framework
        wrong = "is missing" if given is None else f"is {given!r}"
        raise pytest.UsageError(f"--framework {wrong}; give one of {', '.join(FRAMEWORKS)}, or run tox -e NAME")


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    return None if _is_the_matrix(config) else True


def pytest_report_header(config: pytest.Config) -> str:
    return f"framework: {config.option.framework} {version(config.option.framework)}"


def _is_the_matrix(config: pytest.Config) -> bool:
    """Whether this directory was named on the command line; only then does pytest read its option in time.

    A run over all tests leaves the directory out: each framework has an environment of its own.
    """
    return hasattr(config.option, "framework")


@pytest.fixture
def framework(request: pytest.FixtureRequest) -> Framework:
    """What to expect of the framework under test."""
    return FRAMEWORKS[request.config.option.framework]


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """The file the application writes what it did to, a line each."""
    path = tmp_path / "journal"
    path.touch()
    return path


@pytest.fixture
def serve(request: pytest.FixtureRequest, tmp_path: Path, store_url: str, journal: Path) -> Serve:
    """Start the framework's application; each server this test starts uses the same store."""
    target = f"{request.config.option.framework}_app:app"
    env = {"SESSIONGUARD_STORE": store_url, "APP_JOURNAL": str(journal)}
    return lambda: uvicorn(target, tmp_path, app_dir=APPS, env=env)


@pytest.fixture
def server(serve: Serve) -> Iterator[LiveServer]:
    """The framework's application, guarded and listening."""
    with serve() as server:
        yield server


@pytest.fixture
def client(server: LiveServer) -> Iterator[httpx.Client]:
    """A client of that server, patient enough that only a deadlock runs into its timeout.

    Each request has a connection of its own: uvicorn closes the one on which an application has raised.
    """
    fresh = httpx.Limits(max_keepalive_connections=0)
    with httpx.Client(base_url=server.url, limits=fresh, timeout=30, trust_env=False) as client:
        yield client
