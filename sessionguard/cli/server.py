"""A uvicorn process of our own: started on a free port of loopback, ended by its pid, its workers with it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sessionguard.cli.interruption import signals_deferred

HOST = "127.0.0.1"
START_SECONDS = 30.0
STOP_SECONDS = 5.0
PAUSE_SECONDS = 0.02
FOREIGN = ("SESSIONGUARD_", "UVICORN_")

_TAIL_LINES = 20


class ServerFailed(Exception):
    """A server did not start or did not answer; the message ends with what it logged last."""


class Server:
    """A running server; `url` is where it listens."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.url = f"http://{HOST}:{port}"
        self._address = HOST, port
        self._process = process
        self._log = log

    def wait_until_listening(self) -> None:
        """Raise ServerFailed if the server ends, or does not listen within `START_SECONDS`."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            self.check()
            with contextlib.suppress(OSError), socket.create_connection(self._address):
                return
            time.sleep(PAUSE_SECONDS)
        raise self.failure(f"did not listen within {START_SECONDS:g} s")

    def check(self) -> None:
        """Raise ServerFailed if the server has ended."""
        if (code := self._process.poll()) is not None:
            raise self.failure(f"ended with exit code {code}")

    def failure(self, what: str) -> ServerFailed:
        """Return the error that says `what` this server did, and shows the end of its log."""
        tail = self._log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
        return ServerFailed("\n".join([f"The server at {self.url} {what}. Its log ends:", *tail]))

    def end(self) -> None:
        """Ask the server to stop; what is left of it after `STOP_SECONDS` is killed."""
        try:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_SECONDS)
        finally:
            self._kill()

    def _kill(self) -> None:
        """Kill what is left of the process group, and wait until that has gone: workers may have lost their parent."""
        deadline = time.monotonic() + STOP_SECONDS
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            while time.monotonic() < deadline:
                time.sleep(PAUSE_SECONDS)
                os.killpg(self._process.pid, 0)


@contextlib.contextmanager
def serving(directory: Path, *options: str, env: Mapping[str, str]) -> Iterator[Server]:
    """Run uvicorn with `options` in `directory`, which it is made for, until the block ends.

    The server sees our environment without the variables that steer other servers, and with `env`.
    """
    directory.mkdir()
    port = _free_port()
    log = directory / "server.log"
    with contextlib.ExitStack() as stack:
        with signals_deferred():
            server = Server(_start(port, options, env, log), port, log)
            stack.callback(server.end)
        server.wait_until_listening()
        yield server


def _start(port: int, options: Sequence[str], env: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    where = ("--host", HOST, "--port", str(port), "--timeout-keep-alive", f"{2 * START_SECONDS:.0f}")
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "uvicorn", *where, *options],
            cwd=log.parent,
            env={**_own_environment(), **env},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # A group of its own: Ctrl-C reaches only us, and a worker that lost its parent can still be ended.
            start_new_session=True,
        )


def _own_environment() -> Mapping[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
