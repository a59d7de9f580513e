"""What changes when there are many conversations: on disk, in memory, and for those that are in use."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.environments import Environments
from benchmarks.lanes import Program
from benchmarks.measure import Scale
from benchmarks.targets import TARGETS, Row

FEW = 1000
FEWEST_IDLE = 2000
ROUNDS = 20
MEBIBYTE = 2**20


def measure(environments: Environments, scale: Scale) -> list[Row]:
    python = environments.python("guard")
    return [*_growth(python, scale), _idle(python, max(FEWEST_IDLE, scale.keys // 100))]


def _growth(python: Path, scale: Scale) -> list[Row]:
    directory, small = (f"{tempfile.mkdtemp()}/sessions" for _ in range(2))
    many: dict[str, Any] = {"directory": directory, "keys": scale.keys}
    with Program(python, "growth", directory=small, keys=FEW) as few, Program(python, "growth", **many) as lots:
        few.ask("fill")
        size, length = lots.ask("fill")
        hot = [[each.ask("time_hot", keys=FEW, calls=4 * scale.calls) for each in (few, lots)] for _ in range(ROUNDS)]
        cold = lots.ask("time_cold", calls=scale.calls // 2) / 1000
    with Program(python, "growth", **many) as reader:
        rows, grown = reader.ask("remember")
    before, after = (statistics.median(values) / 1000 for values in zip(*hot, strict=True))
    ratio = statistics.median(much / little for little, much in hot)
    details = f"{after:.2f} us of {before:.2f} us, {FEW:,} of the keys in use; {cold:.0f} us for a key not in memory"
    return [
        TARGETS["growth"].row(ratio, details),
        TARGETS["bytes"].row(size, f"row keys of {length} bytes, in no order", digits=0),
        TARGETS["memory"].row(rows, f"{grown / MEBIBYTE:.0f} MiB, {grown / max(rows, 1):.0f} bytes each", digits=0),
    ]


def _idle(python: Path, keys: int) -> Row:
    with Program(python, "idle_keys", directory=f"{tempfile.mkdtemp()}/sessions") as idle:
        left = idle.ask("visit", keys=keys)
    found = ", ".join(f"{count} {kind}" for kind, count in left.items())
    return TARGETS["idle"].row(sum(left.values()), f"after {keys:,} keys{found and f': {found}'}", digits=0)
