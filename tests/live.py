"""Real servers on loopback: started as processes, awaited until they answer, ended by their pid."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

START_SECONDS = 30.0

_ports = random.sample(range(11_000, 21_000), 10_000)
"""No system gives these to whoever names no port, nor those 10,000 higher, where the bus of a Redis cluster listens."""


def free_port() -> int:
    """Return a port for a server that is still to start, or for none at all; never the same again.

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
        self.url = f"http://127.0.0.1:{port}"
        self.ws_url = f"ws://127.0.0.1:{port}"
        self._log = log

    @property
    def output(self) -> str:
        """What the server has printed so far, both streams."""
        return self._log.read_text()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send the signal and wait; returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def wait_until_listening(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended with {self.process.returncode}:\n{self.output}")
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
    """Run `command`, which must listen on `port`, in an empty directory, until the block ends."""
    log = tmp_path / f"server-{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=tmp_path, env={**os.environ, **(env or {})}, stdout=output, stderr=subprocess.STDOUT
        )
    server = LiveServer(process, port, log)
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
    """Serve `module:app` with a real uvicorn on a free port of loopback."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", target, "--host", "127.0.0.1", "--port", str(port), *options]
    # Clients close what is idle: a server that did so after its 5 s could meet a request that is just on its way.
    command += ["--timeout-keep-alive", "3600"]
    if app_dir is not None:
        command += ["--app-dir", str(app_dir)]
    with running(command, port, tmp_path, env) as server:
        yield server
