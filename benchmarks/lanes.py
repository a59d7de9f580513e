"""One contender at work in a process of its own, either timing calls or serving requests."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType

from benchmarks.environments import Environments, environment

CONTENDERS = Path(__file__).with_name("contenders.py")
SERVER_CPU, CLIENT_CPU = (max(os.sched_getaffinity(0)), min(os.sched_getaffinity(0)))


class Lane:
    """A process that ends with its `with` block."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def __enter__(self) -> Lane:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.terminate()
        self.process.wait()

    def cpu(self) -> int:
        """Return the nanoseconds that all threads of the process have run."""
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks)


class CallLane(Lane):
    """Times calls of one contender in process."""

    def __init__(self, environments: Environments, name: str, redis: str) -> None:
        contender = name.partition("+")[0]
        python = str(environments.python(contender))
        super().__init__(
            subprocess.Popen(
                [python, str(CONTENDERS), name],
                env=environment(BENCHMARK_DIRECTORY=tempfile.mkdtemp() + "/sessions", BENCHMARK_REDIS=redis),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        )

    def added(self, calls: int) -> tuple[float, float]:
        """Return the nanoseconds per call of the bare application, and of this contender."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{calls}\n")
        self.process.stdin.flush()
        bare, contender = json.loads(self.process.stdout.readline())
        return bare, contender


class ServerLane(Lane):
    """Serves one contender with uvicorn, uvloop and httptools, one process."""

    def __init__(self, environments: Environments, name: str, redis: str) -> None:
        self.name = name
        # Not a socket handed over by `--fd`: uvicorn takes that for a Unix one, and Nagle's algorithm stays on.
        self.address = "127.0.0.1", _free_port()
        command = [str(environments.python(name)), "-m", "uvicorn", "--factory", "contenders:served"]
        command += ["--port", str(self.address[1])]
        command += ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]
        command += ["--timeout-keep-alive", "3600"]
        settings = environment(
            CONTENDER=name, BENCHMARK_DIRECTORY=tempfile.mkdtemp() + "/sessions", BENCHMARK_REDIS=redis
        )
        super().__init__(
            subprocess.Popen(
                command,
                env=settings,
                cwd=CONTENDERS.parent,
                stderr=subprocess.DEVNULL,
                preexec_fn=lambda: os.sched_setaffinity(0, {SERVER_CPU}),  # noqa: PLW1509 - one thread here
                text=True,
            )
        )


class RedisLane(Lane):
    """A Redis server without persistence on a free port."""

    def __init__(self, environments: Environments) -> None:
        port = _free_port()
        self.url = f"redis://127.0.0.1:{port}/0"
        command = [str(environments.redis_server()), "--port", str(port), "--save", "", "--appendonly", "no"]
        super().__init__(subprocess.Popen(command, stdout=subprocess.DEVNULL, text=True, cwd=tempfile.mkdtemp()))
        connect("127.0.0.1", port).close()


def connect(host: str, port: int) -> socket.socket:
    """Return a connection to a server that may be starting; raises OSError when it does not come in half a minute."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return socket.create_connection((host, port))
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port
