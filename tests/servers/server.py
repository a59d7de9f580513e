"""The servers of the matrix: how each is started, and where it differs from the others and why."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from live import LiveServer, free_port, running

APPS = Path(__file__).parents[1] / "apps"


@dataclass(frozen=True)
class Server:
    """How to start it; the defaults are the common behaviour. In `command`, `{port}` stands for the port."""

    distribution: str
    command: Sequence[str]
    workers: str | None = "--workers"
    """The option that says how many processes it has; None where it has always one."""

    root_path: str = "--root-path"
    """The option that names the prefix that a proxy has cut off."""

    joins_root_path: bool = False
    """Whether the path it tells begins with that prefix, as the specification has it since its version 2.4."""

    has_lifespan: bool = True

    streams_uploads: bool = True
    """Whether the application is given a body in pieces, while it is sent, or at once when it is complete."""

    adds_to_handshake: bool = True
    """Whether what the application adds to a handshake response reaches the client."""

    refuses_handshakes_with: int = 400
    """What the client of a refused WebSocket gets: the refusal, or 403 where a server can only close."""


def _uvicorn(*options: str) -> tuple[str, ...]:
    # Clients close what is idle: a server that did so after its 5 s could meet a request that is just on its way.
    return ("uvicorn", "--host", "127.0.0.1", "--port", "{port}", "--timeout-keep-alive", "3600", *options)


SERVERS: Mapping[str, Server] = {
    "uvicorn-httptools": Server("uvicorn", _uvicorn("--http", "httptools"), joins_root_path=True),
    "uvicorn-h11": Server("uvicorn", _uvicorn("--http", "h11"), joins_root_path=True),
    "hypercorn": Server("hypercorn", ("hypercorn", "--bind", "127.0.0.1:{port}")),
    "granian": Server(
        "granian",
        ("granian", "--interface", "asgi", "--host", "127.0.0.1", "--port", "{port}"),
        root_path="--url-path-prefix",
        # What `websocket.accept` says of headers is not sent.
        adds_to_handshake=False,
    ),
    "daphne": Server(
        "daphne",
        ("daphne", "--bind", "127.0.0.1", "--port", "{port}"),
        # It is one process, and tells applications neither of its start nor of its end.
        workers=None,
        has_lifespan=False,
        # It hands a body on as one piece, which it holds in memory.
        streams_uploads=False,
        # Of a WebSocket's response it sends what it has made itself.
        adds_to_handshake=False,
        refuses_handshakes_with=403,
    ),
}
ADAPTERS: Mapping[str, Server] = {
    # Nothing makes an ASGI application of one of aiohttp; its adapter is a server for those that are. It passes
    # all that is asked of HTTP, but answers a WebSocket that is refused with 500, so frameworks are not tried on it.
    "aiohttp": Server("aiohttp-asgi", ("aiohttp_asgi", "--address", "127.0.0.1", "--port", "{port}")),
}
KINDS: Mapping[str, Server] = {**SERVERS, **ADAPTERS}


def record_server(record_property: Callable[[str, object], None], name: str) -> None:
    """Record which server a test ran on, for the page of the matrix."""
    distribution = KINDS[name].distribution
    record_property("server", name)
    record_property(distribution, version(distribution))


@contextlib.contextmanager
def serving(
    name: str, target: str, directory: Path, *options: str, env: Mapping[str, str] | None = None
) -> Iterator[LiveServer]:
    """Serve `module:app` of the folder of applications on a free port of loopback until the block ends."""
    # All of them print the port that the system has chosen; Granian prints the 0 that it was given.
    port = free_port() if name == "granian" else 0
    module, *arguments = (part.format(port=port) for part in KINDS[name].command)
    path = os.pathsep.join(filter(None, (str(APPS), os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-m", module, *arguments, *options, target]
    with running(command, port, directory, {**(env or {}), "PYTHONPATH": path}) as server:
        yield server
