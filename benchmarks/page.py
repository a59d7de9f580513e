"""The page that a run becomes: the template `page.md`, with tables, and with the notes on what was not reached."""

from __future__ import annotations

import json
import os
import platform
import re
import sqlite3
import string
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.environments import Environments
from benchmarks.lanes import PROGRAMS
from benchmarks.requests import Costs
from benchmarks.targets import TARGETS, Row

HERE = Path(__file__).parent
NAMED: tuple[str, ...] = (
    "uvicorn",
    "uvloop",
    "httptools",
    "sessionguard",
    "diskcache",
    "asgi-correlation-id",
    "starlette",
)
NAMED += ("starsessions", "asgi-idempotency-header", "redis", "hiredis", "asyncpg")
NOTE = re.compile(r"^## ([^\n]+)\n\n(.+?)(?=\n\n## |\Z)", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Page:
    """One run. `postgres` is the version of the server, or why there was none."""

    rows: Sequence[Row]
    costs: Costs
    environments: Environments
    postgres: str

    @property
    def text(self) -> str:
        template = string.Template((HERE / "page.md").read_text())
        return template.substitute(
            figures="\n".join(self._figures()),
            missed="\n\n".join(self._missed()) or "Nothing: every figure was reached.",
            contenders="\n".join(self._contenders()),
            machine=self._machine(),
        )

    def write(self, place: Path) -> None:
        """Write `performance.md` and `performance.svg`."""
        (place / "performance.md").write_text(self.text)
        python = self.environments.python("plot")
        command = [python, PROGRAMS / "plot.py", place.absolute() / "performance.svg"]
        subprocess.run(command, check=True, input=json.dumps(asdict(self.costs)), text=True)

    def _figures(self) -> Iterator[str]:
        yield "| work | measured | to reach | reached |"
        yield "|---|---|---|---|"
        for row in self.rows:
            yield f"| {row.work} | {row.measured} | {row.to_reach} | {'yes' if row.reached else 'no'} |"

    def _missed(self) -> Iterator[str]:
        notes = dict(NOTE.findall((HERE / "notes.md").read_text().rstrip()))
        for row in self.rows:
            if not row.reached:
                note = notes.get(row.work, "Why is not known yet.")
                yield f"**{row.work}**: {row.measured} where {row.to_reach} was to be reached.\n{note}"
        measured = {row.work for row in self.rows}
        for target in TARGETS.values():
            if target.work not in measured:
                yield f"**{target.work}**: not measured here. This machine has {self.postgres}."

    def _contenders(self) -> Iterator[str]:
        yield "| contender | in process, added us | uvicorn, CPU added us | uvicorn, requests/s against bare |"
        yield "|---|---:|---:|---:|"
        columns = (self.costs.added, self.costs.cpu, self.costs.share)
        for name in dict.fromkeys(name for column in reversed(columns) for name in column):
            cells = (f"{column[name]:.2f}" if name in column else "" for column in columns)
            yield f"| {name} | {' | '.join(cells)} |"

    def _machine(self) -> str:
        found: dict[str, str] = {}
        for contender in ("guard", "guard-redis", "guard-postgres", "correlation-id", "starsessions", "idempotency"):
            found |= self.environments.versions(contender)
        versions = ", ".join(f"{name} {found[name]}" for name in NAMED if name in found)
        system = f"{len(os.sched_getaffinity(0))} cores, {platform.system()} {platform.machine()}"
        python = f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
        return f"{system}, {python}, {self.postgres}, {versions}."
