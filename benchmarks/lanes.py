"""What works in a process of its own: programs that are asked, contenders that serve requests, and a Redis server."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.environments import Environments, environment

if TYPE_CHECKING:
    from typing_extensions import Self

PROGRAMS = Path(__file__).with_name("programs")
GRACE_SECONDS, LONGEST_ANSWER = 10.0, 120.0
SERVER_CPU, CLIENT_CPU = (max(os.sched_getaffinity(0)), min(os.sched_getaffinity(0)))


class Lane:
    """A process that ends with its `with` block."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def cpu(self) -> int:
        """Return the nanoseconds that all threads of the process have run."""
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks)


class Program(Lane):
    """A program in the environment of a contender, which is asked for one thing after the other."""

    def __init__(self, python: Path, name: str, /, *, cpu: int | None = None, redis: str = "", **plan: object) -> None:
        self._name = name
        pin = None if cpu is None else lambda: os.sched_setaffinity(0, {cpu})
        super().__init__(
            subprocess.Popen(
                [python, PROGRAMS / f"{name}.py", json.dumps(plan)],
                env=environment(BENCHMARK_DIRECTORY=tempfile.mkdtemp() + "/sessions", BENCHMARK_REDIS=redis),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                preexec_fn=pin,  # noqa: PLW1509 - one thread here
                text=True,
            )
        )

    def __exit__(self, *failure: object) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        super().__exit__(*failure)

    def ask(self, verb: str, /, **arguments: object) -> Any:
        """Return the answer; raises as `hear` does."""
        self.tell(verb, **arguments)
        return self.hear()

    def tell(self, verb: str, /, **arguments: object) -> None:
        """Ask without waiting for the answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([verb, arguments]) + "\n")
        self.process.stdin.flush()

    def hear(self) -> Any:
        """Return the next answer; raises RuntimeError when the program has failed, or says nothing for too long."""
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], LONGEST_ANSWER)
        line = self.process.stdout.readline() if ready else ""
        if not line:
            raise RuntimeError(f"the program {self._name} of the benchmark has {'failed' if ready else 'got stuck'}")
        return json.loads(line)


class ServerLane(Lane):
    """Serves one contender with uvicorn, uvloop and httptools, one process."""

    def __init__(self, environments: Environments, name: str, redis: str) -> None:
        self.name = name
        # Not a socket handed over by `--fd`: uvicorn takes that for a Unix one, and Nagle's algorithm stays on.
        self.address = "127.0.0.1", free_port()
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
                cwd=PROGRAMS,
                stderr=subprocess.DEVNULL,
                preexec_fn=lambda: os.sched_setaffinity(0, {SERVER_CPU}),  # noqa: PLW1509 - one thread here
                text=True,
            )
        )


class RedisLane(Lane):
    """A Redis server without persistence on a free port."""

    def __init__(self, environments: Environments) -> None:
        port = free_port()
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


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port
