"""The options that name the cells of the matrix, and the application of a cell as a live server."""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from frameworks.framework import BROKEN, FRAMEWORKS, Framework
from frameworks.journal import Journal
from live import LiveServer
from servers.server import SERVERS, Server, serving

Serve = Callable[..., contextlib.AbstractContextManager[LiveServer]]


class Cell(NamedTuple):
    """One framework on one server."""

    framework: str
    server: str


def pytest_addoption(parser: pytest.Parser) -> None:
    for option, names in (("framework", FRAMEWORKS), ("server", SERVERS)):
        known = f"separated by commas: {', '.join(names)}; all of them when left out"
        parser.addoption(f"--{option}", metavar="NAMES", type=functools.partial(_names, option, names), help=known)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(what): a test of something that is broken in some cells")
    config.addinivalue_line("markers", "only(framework): a test of one framework")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is of another framework alone."""
    if hasattr(config.option, "framework"):
        chosen = set(_chosen(config, "framework", FRAMEWORKS))
        items[:] = [
            item
            for item in items
            if chosen.issuperset(name for mark in item.iter_markers("only") for name in mark.args)
        ]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """A run over all tests leaves the directory out: each framework has an environment of its own."""
    if not hasattr(config.option, "framework"):
        return True
    return True if collection_path.name == "test_broken.py" and not BROKEN.keys() & set(_cells(config)) else None


def pytest_report_header(config: pytest.Config) -> str:
    return ", ".join(f"{name} {version(name)}" for name in _distributions(config))


@pytest.fixture(scope="session", autouse=True)
def _versions(pytestconfig: pytest.Config, record_testsuite_property: Callable[[str, object], None]) -> None:
    """What was installed is in the report, for the page of the matrix."""
    for name in _distributions(pytestconfig):
        record_testsuite_property(name, version(name))


@pytest.fixture(autouse=True)
def _server(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> None:
    """So is where a test ran."""
    if "cell" in request.fixturenames:
        record_property("server", request.getfixturevalue("cell").server)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test on each cell where what it needs works; what is broken in a cell is tested to be so."""
    cells = _cells(metafunc.config)
    needs = {"requests", *(mark.args[0] for mark in metafunc.definition.iter_markers("needs"))}
    if "broken" in metafunc.fixturenames:
        chosen = [pytest.param(cell, BROKEN[cell].what, id="-".join(cell)) for cell in cells if cell in BROKEN]
        metafunc.parametrize(("cell", "broken"), chosen, scope="session")
    elif "framework_name" in metafunc.fixturenames:
        metafunc.parametrize("framework_name", _chosen(metafunc.config, "framework", FRAMEWORKS))
    elif "cell" in metafunc.fixturenames:
        works = [cell for cell in cells if cell not in BROKEN or BROKEN[cell].what not in needs]
        chosen = [pytest.param(cell, id="-".join(cell)) for cell in works]
        metafunc.parametrize("cell", chosen, scope="session")


@pytest.fixture
def framework(cell: Cell) -> Framework:
    """What to expect of the framework under test."""
    return FRAMEWORKS[cell.framework]


@pytest.fixture
def server_kind(cell: Cell) -> Server:
    """What to expect of the server it runs on."""
    return SERVERS[cell.server]


@pytest.fixture(scope="session")
def directory(cell: Cell, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the cell keeps its conversations, its journal and what its servers print."""
    place = tmp_path_factory.mktemp("-".join(cell))
    (place / "journal").touch()
    return place


@pytest.fixture
def journal(directory: Path) -> Journal:
    """What the application does from now on."""
    return Journal(directory / "journal")


@pytest.fixture(scope="session")
def serve(cell: Cell, directory: Path) -> Serve:
    """Start the application of the cell; all servers of a cell use the same store."""

    def start(*options: str, app: str | None = None) -> contextlib.AbstractContextManager[LiveServer]:
        env = {
            "APP": cell.framework,
            "APP_JOURNAL": str(directory / "journal"),
            "SESSIONGUARD_STORE": f"disk://{directory / 'sessions'}",
        }
        return serving(cell.server, f"{app or cell.framework}_app:app", directory, *options, env=env)

    return start


@pytest.fixture(scope="session")
def server(serve: Serve) -> Iterator[LiveServer]:
    """The application of the cell, guarded and listening; every test brings a key of its own."""
    with serve() as server:
        yield server


@pytest.fixture(scope="session")
def client(server: LiveServer) -> Iterator[httpx.Client]:
    """A client of that server, patient enough that only a deadlock runs into its timeout.

    Each request has a connection of its own: uvicorn closes the one on which an application has raised.
    """
    fresh = httpx.Limits(max_keepalive_connections=0)
    with httpx.Client(base_url=server.url, limits=fresh, timeout=30, trust_env=False) as client:
        yield client


def _names(option: str, known: Collection[str], text: str) -> list[str]:
    names = text.split(",")
    if wrong := [name for name in names if name not in known]:
        raise pytest.UsageError(f"--{option}: {', '.join(wrong)} is not one of {', '.join(known)}")
    return names


def _distributions(config: pytest.Config) -> Iterable[str]:
    frameworks = [FRAMEWORKS[name].distribution for name in _chosen(config, "framework", FRAMEWORKS)]
    return dict.fromkeys([*frameworks, *(SERVERS[name].distribution for name in _chosen(config, "server", SERVERS))])


def _cells(config: pytest.Config) -> list[Cell]:
    pairs = itertools.product(_chosen(config, "framework", FRAMEWORKS), _chosen(config, "server", SERVERS))
    return [Cell(*pair) for pair in pairs]


def _chosen(config: pytest.Config, option: str, known: Collection[str]) -> Sequence[str]:
    chosen: list[str] | None = config.getoption(option)
    return tuple(known) if chosen is None else chosen
