"""Whether what one process does is seen by the very next request of another, and what it costs them to be sure."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks.environments import Environments
from benchmarks.lanes import CLIENT_CPU, SERVER_CPU, Program
from benchmarks.measure import Scale
from benchmarks.targets import TARGETS, Row

KEY = "agent:main:whatsapp:direct:+4915112345678"
TORN_KEYS = 8
HOT_KEYS = 1000
OTHERS_PER_SECOND = 1000
REQUESTS_PER_SECOND = 10_000


def measure(environments: Environments, scale: Scale) -> list[Row]:
    python = environments.python("guard")
    return [_ping_pong(python, scale.resets), _torture(python, scale.seconds), _hits(python, scale.seconds)]


def _ping_pong(python: Path, resets: int) -> Row:
    """Two processes take turns at resetting; the other one must see it at once, although it remembers what it had."""
    directory = _directory()
    stale = 0
    with Program(python, "agent", directory=directory) as one, Program(python, "agent", directory=directory) as other:
        for number in range(resets):
            resetting, asking = (one, other) if number % 2 else (other, one)
            expected = resetting.ask("reset", key=KEY)
            # Twice: what the first request has read, the second one finds in memory.
            stale += [asking.ask("request", key=KEY) for _ in range(2)] != [expected, expected]
    return TARGETS["ping-pong"].row(stale, f"of {resets:,}", digits=0)


def _torture(python: Path, seconds: float) -> Row:
    directory, histories = _directory(), tempfile.mkdtemp()
    with ExitStack() as stack:
        *writers, reader = (
            stack.enter_context(
                Program(python, "freely", directory=directory, histories=histories, name=name, keys=TORN_KEYS)
            )
            for name in ("writer-1", "writer-2", "reader")
        )
        for writer in writers:
            writer.tell("write", seconds=seconds)
        reader.tell("read", seconds=seconds)
        changes, requests = sum(writer.hear() for writer in writers), reader.hear()
        judged, wrong = reader.ask("judge")
    details = (
        f"{requests:,} requests under {changes:,} changes in {seconds:g} s; {judged:,} answers of the store judged"
    )
    return TARGETS["torture"].row(len(wrong), "; ".join([details, *wrong[:1]]), digits=0)


def _hits(python: Path, seconds: float) -> Row:
    directory = _directory()
    with (
        Program(python, "hot_keys", cpu=SERVER_CPU, directory=directory, keys=HOT_KEYS) as hot,
        Program(python, "neighbour", cpu=CLIENT_CPU, directory=directory) as neighbour,
    ):
        hot.ask("prepare")
        neighbour.tell("work", seconds=seconds, rate=OTHERS_PER_SECOND, hot_keys=HOT_KEYS)
        asked, reached = hot.ask("ask", seconds=seconds, rate=REQUESTS_PER_SECOND)
        others = neighbour.hear()
    details = f"{asked / seconds:,.0f} requests/s, {reached / seconds:.0f} of them read the store;"
    return TARGETS["hits"].row(1 - reached / asked, f"{details} the others made {others / seconds:,.0f}/s", digits=4)


def _directory() -> str:
    return f"{tempfile.mkdtemp()}/sessions"
