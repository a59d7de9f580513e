"""Releases of the gateway, one running at a time, with a proxy in front of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from live import LiveServer
from openclaw.client import send
from openclaw.gateway import Gateway, running_gateway
from openclaw.installation import RELEASES, Unavailable, install
from openclaw.model import FakeModel, Message, fake_model
from openclaw.proxy import running_proxy
from openclaw.table import Table
from openclaw.trials import Route

TABLE = pytest.StashKey[Table]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("openclaw", "trials against releases of the OpenClaw gateway")
    group.addoption("--openclaw-directory", type=Path, help="where releases are installed, and kept")
    group.addoption("--openclaw-releases", default=",".join(RELEASES), help="default: %(default)s")
    group.addoption("--openclaw-repeats", type=int, default=5, help="trials of each cell, default: %(default)s")
    group.addoption("--openclaw-table", type=Path, help="a file for the table, in Markdown")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[TABLE] = Table()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "gateway" in metafunc.fixturenames:
        releases = metafunc.config.getoption("--openclaw-releases").split(",")
        metafunc.parametrize("gateway", releases, indirect=True, scope="session")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    table = config.stash[TABLE]
    if table.outcomes:
        terminalreporter.section("OpenClaw")
        terminalreporter.write_line(table.markdown())
        if (path := config.getoption("--openclaw-table")) is not None:
            path.write_text(table.markdown() + "\n")


@pytest.fixture(scope="session")
def table(pytestconfig: pytest.Config) -> Table:
    return pytestconfig.stash[TABLE]


@pytest.fixture(scope="session")
def repeats(pytestconfig: pytest.Config) -> int:
    return pytestconfig.getoption("--openclaw-repeats")


@pytest.fixture(scope="session")
def directory(pytestconfig: pytest.Config) -> Path:
    return pytestconfig.getoption("--openclaw-directory") or pytestconfig.cache.mkdir("openclaw")


@pytest.fixture(scope="session")
def model() -> Iterator[FakeModel]:
    with fake_model() as model:
        yield model


@pytest.fixture(scope="session")
def gateway(
    request: pytest.FixtureRequest, model: FakeModel, directory: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    """A release of the gateway; it runs until the trials of the next one begin."""
    try:
        installation = install(request.param, directory)
    except Unavailable as reason:
        pytest.skip(str(reason))
    with running_gateway(installation, model, tmp_path_factory.mktemp(f"openclaw-{request.param}")) as gateway:
        # The first turn of a process loads its modules, for many seconds.
        asyncio.run(send(gateway.url, "warm-up", Message("MSG-warm-up"), "chat", stream=False))
        yield gateway


@pytest.fixture(scope="session")
def proxies(gateway: Gateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[int], LiveServer]]:
    """Start a proxy with so many workers when it is first asked for."""
    started: dict[int, LiveServer] = {}
    with ExitStack() as stack:

        def start(workers: int) -> LiveServer:
            if workers not in started:
                options = ["--workers", str(workers)] if workers > 1 else []
                proxy = running_proxy(gateway.url, tmp_path_factory.mktemp("proxy"), *options)
                started[workers] = stack.enter_context(proxy)
            return started[workers]

        yield start


@pytest.fixture
def bare(gateway: Gateway, model: FakeModel) -> Route:
    """The way to the gateway without a proxy."""
    return Route(gateway, model, gateway.url)


@pytest.fixture
def through_proxy(gateway: Gateway, model: FakeModel, proxies: Callable[[int], LiveServer]) -> Callable[[int], Route]:
    """The way to the gateway through a proxy with so many workers."""
    return lambda workers: Route(gateway, model, proxies(workers).url)


@pytest.fixture
def restartable(gateway: Gateway, model: FakeModel, tmp_path: Path) -> Iterator[Route]:
    """The way to the gateway through a proxy of its own, which can be restarted with the same store."""
    with ExitStack() as stack:

        def start() -> str:
            stack.close()
            return stack.enter_context(running_proxy(gateway.url, tmp_path)).url

        yield Route(gateway, model, start(), start)
