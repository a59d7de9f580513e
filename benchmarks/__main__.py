"""Runs everything side by side and writes the page: `python -m benchmarks [--smoke] [--directory D] [--page D]`."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from pathlib import Path

from benchmarks import coherence, growth, lag, plugins, requests, reservations, turns
from benchmarks.environments import Environments
from benchmarks.lanes import RedisLane
from benchmarks.measure import Scale
from benchmarks.page import Page
from benchmarks.requests import Costs
from benchmarks.targets import Row, in_order


def main() -> None:
    """Measure, print the page, and write it with its plot; fail if something was not only slow but wrong."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="run every line once; proves nothing about speed")
    parser.add_argument("--directory", type=Path, help="where the environments of the contenders are kept")
    parser.add_argument(
        "--page", type=Path, help="where performance.md and performance.svg go; else the directory, else here"
    )
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # Whatever runs for us is ended on the way out.
    scale = Scale.smoke() if arguments.smoke else Scale.full()
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as scratch:
        Path(scratch).chmod(0o711)  # A Postgres server that may not be root must get through.
        tempfile.tempdir = scratch
        environments = Environments(arguments.directory or Path(scratch))
        rows, costs, postgres = _measure(environments, scale)
        page = Page(rows, costs, environments, postgres)
        page.write(arguments.page or arguments.directory or Path())
    print(page.text)
    if wrong := [row.work for row in rows if row.is_law and not row.reached]:
        sys.exit(f"wrong, whatever the machine: {'; '.join(wrong)}")


def _measure(environments: Environments, scale: Scale) -> tuple[list[Row], Costs, str]:
    """Return the rows, what each contender costs, and which Postgres there was."""
    with RedisLane(environments) as redis:
        rows, costs = requests.measure(environments, scale, redis.url)
        rows += plugins.on_redis(environments, scale, redis.url)
        rows += turns.measure(environments, scale, redis.url)
    more, postgres = plugins.on_postgres(environments, scale)
    rows += more
    for part in (coherence, reservations, lag, growth):
        rows += part.measure(environments, scale)
    return in_order(rows), costs, postgres


if __name__ == "__main__":
    main()
