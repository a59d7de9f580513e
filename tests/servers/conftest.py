"""The servers of the matrix, each with the bare application; `-h2` is the same server spoken to in HTTP/2."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import httpx
import pytest
from live import START_SECONDS, LiveServer
from servers.header_cases import HTTP2
from servers.scheduling import pytest_xdist_make_scheduler  # noqa: F401 - a hook
from servers.server import KINDS, record_server, serving

DISTRIBUTIONS = dict.fromkeys(kind.distribution for kind in KINDS.values())
PROTOCOLS = (*KINDS, *HTTP2)


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """A run over all tests leaves the directory out: the servers are installed in an environment of their own."""
    return None if any("servers" in argument for argument in config.args) else True


def pytest_report_header() -> str:
    return ", ".join(f"{name} {version(name)}" for name in DISTRIBUTIONS)


@pytest.fixture(autouse=True)
def _ran_on(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> None:
    """Record framework, server and versions of a test, for the page of the matrix."""
    record_property("asgiref", version("asgiref"))
    if "protocol" in request.fixturenames:
        record_server(record_property, server_of(request.getfixturevalue("protocol")))


def server_of(protocol: str) -> str:
    return protocol.removesuffix("-h2")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "protocol" in metafunc.fixturenames:
        metafunc.parametrize("protocol", PROTOCOLS)


@pytest.fixture(scope="session")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], LiveServer]]:
    """Start a server when it is first asked for, with two processes where it can have them, until the tests end."""
    with contextlib.ExitStack() as stack:

        @functools.cache
        def start(name: str) -> LiveServer:
            workers = KINDS[name].workers
            options = [workers, "2"] if workers is not None else []
            directory = tmp_path_factory.mktemp(name, numbered=False)
            env = {"SESSIONGUARD_STORE": f"disk://{directory / 'sessions'}"}
            server = stack.enter_context(serving(name, "bare_app:app", directory, *options, env=env))
            wait_until_all_answer(server, 1 if workers is None else 2)
            return server

        yield start


@pytest.fixture
def server(started: Callable[[str], LiveServer], protocol: str) -> LiveServer:
    """The bare application, guarded and listening."""
    return started(server_of(protocol))


@pytest.fixture
def store(tmp_path_factory: pytest.TempPathFactory, protocol: str) -> Path:
    """The directory in which the server of this protocol keeps its conversations."""
    return tmp_path_factory.getbasetemp() / server_of(protocol) / "sessions"


def wait_until_all_answer(server: LiveServer, processes: int) -> None:
    """Granian does not end when it is told to while a worker of it is starting."""
    deadline, seen = time.monotonic() + START_SECONDS, set()
    while len(seen) < processes:
        assert time.monotonic() < deadline, server.output
        seen.add(httpx.get(server.url, timeout=START_SECONDS, trust_env=False).json()["process"])
