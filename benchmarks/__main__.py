"""Runs everything side by side and writes the table: `python -m benchmarks [--smoke] [--directory PLACE]`."""

from __future__ import annotations

import argparse
import os
import platform
import sqlite3
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from benchmarks import requests
from benchmarks.environments import Environments
from benchmarks.lanes import RedisLane
from benchmarks.measure import Row, Scale

ASKED_FOR = ("uvicorn", "uvloop", "httptools", "sessionguard", "diskcache", "asgi-correlation-id", "starlette")
ASKED_FOR += ("starsessions", "asgi-idempotency-header", "redis")


def main() -> None:
    """Measure, print the tables, and write them to `performance.md` in the directory."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="run every line once; proves nothing about speed")
    parser.add_argument("--directory", type=Path, help="where the environments of the contenders are kept")
    arguments = parser.parse_args()
    directory = arguments.directory or Path(tempfile.mkdtemp(prefix="benchmarks-"))
    scale = Scale.smoke() if arguments.smoke else Scale.full()
    environments = Environments(directory)
    with RedisLane(environments) as redis:
        rows, added = requests.in_process(environments, scale, redis.url)
        more, shares = requests.over_sockets(environments, scale, redis.url)
    text = "\n".join([*_figures([*rows, *more]), "", *_contenders(added, shares), "", _machine(environments), ""])
    (directory / "performance.md").write_text(text)
    print(text)


def _figures(rows: Iterable[Row]) -> Iterable[str]:
    yield "| work | measured | to reach | reached |"
    yield "|---|---|---|---|"
    for row in rows:
        yield f"| {row.work} | {row.measured} | {row.to_reach} | {'yes' if row.reached else 'no'} |"


def _contenders(added: Mapping[str, float], shares: Mapping[str, float]) -> Iterable[str]:
    yield "| contender | in process, added us | uvicorn, requests/s against bare |"
    yield "|---|---:|---:|"
    for name in {**added, **shares}:
        time, share = added.get(name), shares.get(name)
        yield f"| {name} | {'' if time is None else f'{time:.2f}'} | {'' if share is None else f'{share:.2f}'} |"


def _machine(environments: Environments) -> str:
    found: dict[str, str] = {}
    for contender in ("guard", "correlation-id", "starsessions", "idempotency"):
        found |= environments.versions(contender)
    versions = ", ".join(f"{name} {found[name]}" for name in ASKED_FOR if name in found)
    system = f"{len(os.sched_getaffinity(0))} cores, {platform.system()} {platform.machine()}"
    return f"{system}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {versions}."


if __name__ == "__main__":
    main()
