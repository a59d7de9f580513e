"""The options that name the cells of the matrix, and the application of a cell as a live server."""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from frameworks.framework import BROKEN, FRAMEWORKS, Framework
from frameworks.journal import Journal
from live import LiveServer
from servers.scheduling import pytest_xdist_make_scheduler  # noqa: F401 - a hook
from servers.server import SERVERS, Server, record_server, serving

Serve = Callable[..., contextlib.AbstractContextManager[LiveServer]]


class Cell(NamedTuple):
    """One framework on one server."""

    framework: str
    server: str


ONE_FLAVOUR = [name for name in SERVERS if name != "uvicorn-h11"]
"""The servers when none is named: on the first of them a framework runs all tests, on the others those that are marked
`everywhere`. Both flavours of uvicorn have all of `tests/servers`."""


def pytest_addoption(parser: pytest.Parser) -> None:
    for option, names in (("framework", FRAMEWORKS), ("server", SERVERS)):
        known = f"separated by commas: {', '.join(names)}"
        parser.addoption(f"--{option}", metavar="NAMES", type=functools.partial(_names, option, names), help=known)
    parser.addoption("--every-pair", action="store_true", help="all tests on every server, not on the first alone")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "everywhere: a test that another server can change")
    config.addinivalue_line("markers", "needs(what): a test of something that is broken in some cells")
    config.addinivalue_line("markers", "only(framework): a test of one framework")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests of frameworks that were not chosen, and those that one server is enough for."""
    if hasattr(config.option, "framework"):
        removed = {item for item in items if not _is_run(item)}
        config.hook.pytest_deselected(items=[*removed])
        items[:] = [item for item in items if item not in removed]


def _is_run(item: pytest.Item) -> bool:
    cell = _parameters(item).get("cell")
    one_server_is_enough = item.get_closest_marker("everywhere") is None
    if cell is not None and one_server_is_enough and not _is_full(item.config, cell):
        return False
    return all(mark.args[0] in _frameworks(item.config) for mark in item.iter_markers("only"))


def _is_full(config: pytest.Config, cell: Cell) -> bool:
    return config.getoption("every_pair") or cell.server == _servers(config)[0]


def _parameters(item: pytest.Item) -> Mapping[str, Any]:
    return item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """A run over all tests leaves the directory out: the frameworks are installed in an environment of their own."""
    if not hasattr(config.option, "framework"):
        return True
    return True if collection_path.name == "test_broken.py" and not BROKEN.keys() & {*_cells(config)} else None


def pytest_report_header(config: pytest.Config) -> str:
    kinds = [*(FRAMEWORKS[name] for name in _frameworks(config)), *(SERVERS[name] for name in _servers(config))]
    return ", ".join(f"{name} {version(name)}" for name in dict.fromkeys(kind.distribution for kind in kinds))


@pytest.fixture(autouse=True)
def _ran_on(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> None:
    """Record framework, server and versions of a test, for the page of the matrix."""
    parameters = _parameters(request.node)
    if cell := parameters.get("cell"):
        record_server(record_property, cell.server)
    named = [parameters.get("framework_name"), *(mark.args[0] for mark in request.node.iter_markers("only"))]
    framework = cell.framework if cell else next(filter(None, named))
    record_property("framework", framework)
    record_property(FRAMEWORKS[framework].distribution, version(FRAMEWORKS[framework].distribution))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test on each cell where what it needs works; what is broken in a cell is tested to be so."""
    cells = _cells(metafunc.config)
    needs = {"requests", *(mark.args[0] for mark in metafunc.definition.iter_markers("needs"))}
    if "broken" in metafunc.fixturenames:
        chosen = [pytest.param(cell, BROKEN[cell].what, id="-".join(cell)) for cell in cells if cell in BROKEN]
        metafunc.parametrize(("cell", "broken"), chosen, scope="session")
    elif "framework_name" in metafunc.fixturenames:
        metafunc.parametrize("framework_name", _frameworks(metafunc.config), scope="session")
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
def server(serve: Serve, cell: Cell, pytestconfig: pytest.Config) -> Iterator[LiveServer]:
    """The application of the cell, guarded and listening, for all its tests; every test brings a key of its own."""
    with serve(app="fronted" if _is_full(pytestconfig, cell) else None) as server:
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


def _cells(config: pytest.Config) -> list[Cell]:
    return [Cell(*pair) for pair in itertools.product(_frameworks(config), _servers(config))]


def _frameworks(config: pytest.Config) -> Sequence[str]:
    return config.getoption("framework") or [*FRAMEWORKS]


def _servers(config: pytest.Config) -> Sequence[str]:
    return config.getoption("server") or ([*SERVERS] if config.getoption("every_pair") else ONE_FLAVOUR)
