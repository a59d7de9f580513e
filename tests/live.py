"""Real servers on loopback: started as processes, awaited until they answer, ended by their pid."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

START_SECONDS = 300.0
"""After so long a start or a stop counts as hanging: on a busy machine LiteLLM imports for two minutes."""

PRINTED_PORT = re.compile(r"(?:[Rr]unning on|Listening(?: on TCP address)?) (?:http://)?127\.0\.0\.1:([1-9]\d*)")
"""How uvicorn, Hypercorn, Daphne and aiohttp-asgi report the port that the system has given them."""

_ports = random.sample(range(11_000, 21_000), 10_000)
"""The system gives none of these to a server that asks for any port, nor those 10,000 higher, which a Redis cluster
takes for its bus."""


def free_port() -> int:
    """Return a port for a server that cannot report its own, or for none at all; never the same again.

    Until then the system must not give it to a server of another run: we would call on that one.
    """
    while True:
        port = _ports.pop()
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class LiveServer:
    """A server process and where it listens."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self._log = log

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @property
    def output(self) -> str:
        """Both streams of the server so far."""
        return self._log.read_text()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send the signal and wait; returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(START_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def wait_until_listening(self) -> None:
        """Wait until a connection is accepted; a port of 0 is replaced by the one that the server prints."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended with {self.process.returncode}:\n{self.output}")
            if self.port == 0 and (printed := PRINTED_PORT.search(self.output)):
                self.port = int(printed[1])
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 0.2):
                return
            time.sleep(0.02)
        raise RuntimeError(f"the server did not listen in {START_SECONDS:g} s:\n{self.output}")

    def wait_until_it_says(self, text: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        while text not in self.output:
            if time.monotonic() > deadline:
                raise RuntimeError(f"the server did not say {text!r} in {START_SECONDS:g} s:\n{self.output}")
            time.sleep(0.02)


@contextlib.contextmanager
def running(
    command: Sequence[str], port: int, tmp_path: Path, env: Mapping[str, str] | None = None
) -> Iterator[LiveServer]:
    """Run `command` in `tmp_path` until the block ends.

    It must listen on `port`; with 0 it must have been told to let the system choose, and print the choice.
    """
    with tempfile.NamedTemporaryFile(dir=tmp_path, prefix="server-", suffix=".log", delete=False) as output:
        process = subprocess.Popen(
            command, cwd=tmp_path, env={**os.environ, **(env or {})}, stdout=output, stderr=subprocess.STDOUT
        )
    server = LiveServer(process, port, Path(output.name))
    try:
        server.wait_until_listening()
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def uvicorn(
    target: str,
    tmp_path: Path,
    *options: str,
    app_dir: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Iterator[LiveServer]:
    """Serve `module:app` with a real uvicorn on a port of loopback that the system chooses."""
    # With a log level of its own it may not print its port.
    port = free_port() if "--log-level" in options else 0
    command = [sys.executable, "-m", "uvicorn", target, "--host", "127.0.0.1", "--port", str(port), *options]
    # Clients close what is idle: a server that did so after its 5 s could meet a request that is just on its way.
    command += ["--timeout-keep-alive", "3600"]
    if app_dir is not None:
        command += ["--app-dir", str(app_dir)]
    with running(command, port, tmp_path, env) as server:
        yield server
