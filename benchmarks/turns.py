"""What the turn gate costs where nobody waits: time in a conversation that is no news, and writes in any other."""

from __future__ import annotations

import dataclasses
import operator
import tempfile

from benchmarks.environments import Environments
from benchmarks.lanes import Program
from benchmarks.measure import Scale, interval
from benchmarks.requests import each, serve
from benchmarks.targets import TARGETS, Row


def measure(environments: Environments, scale: Scale, redis: str) -> list[Row]:
    return [_first(environments, scale), _wait(environments, scale.reservations // 10, redis)]


def _first(environments: Environments, scale: Scale) -> Row:
    """Compare the gated guard, and a second one without a gate: what that differs by is what cannot be measured."""
    scale = dataclasses.replace(scale, rounds=2 * scale.rounds)
    _, cpu = serve(environments, scale, "", ("guard-alone", "guard-turns", "guard"), new_keys=False)
    ratio, *gated = interval(each(operator.truediv, cpu["guard-turns"], cpu["guard-alone"]))
    again = interval(each(operator.truediv, cpu["guard"], cpu["guard-alone"]))
    details = "{:.3f} to {:.3f}; another guard {:.3f}, {:.3f} to {:.3f}".format(*gated, *again)
    return TARGETS["turns-first"].row(ratio, details, digits=3)


def _wait(environments: Environments, turns: int, redis: str) -> Row:
    """Ask the disk and Redis for a number of turns, of a new conversation and one after the other."""
    python = environments.python("guard-turns")
    counts: dict[str, dict[str, int]] = {}
    for name, store in {"disk": f"disk://{tempfile.mkdtemp()}/sessions", "Redis": redis}.items():
        with Program(python, "turns", store=store) as program:
            counts[name] = program.ask("take", turns=turns)
    most = max(sum(asked.values()) / turns for asked in counts.values())
    details = "; ".join(
        f"{name}: {', '.join(f'{verb} {number}' for verb, number in asked.items())}" for name, asked in counts.items()
    )
    return TARGETS["turns-wait"].row(most, f"{details}; {turns} turns")
