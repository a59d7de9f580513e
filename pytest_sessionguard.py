"""`pytest --sessionguard-store=URL` asks of the store at that URL everything we ask of ours.

It stands beside the package because pytest imports it at every start, before coverage is measured; so it imports
nothing of the package and costs those who do not use it nothing.
"""

from __future__ import annotations

import importlib.util
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

pytest.register_assert_rewrite("sessionguard.testing")


class Tally:
    """What the long-running tests have tried, printed at the end; `long` is true in the long tier."""

    def __init__(self, *, long: bool) -> None:
        self.long = long
        self.counts: Counter[str] = Counter()

    def choose(self, short: int, long: int) -> int:
        """Return how much this run is to try."""
        return long if self.long else short

    def add(self, what: str, count: int) -> None:
        """Count something that was tried, such as 50,000 "operations judged"."""
        self.counts[what] += count


TALLY = pytest.StashKey[Tally]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("sessionguard")
    group.addoption("--sessionguard-store", metavar="URL", help="run the contract, the races and the faults on a store")
    group.addoption("--sessionguard-long", action="store_true", help="try as much as before a release, not as in CI")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[TALLY] = Tally(long=config.getoption("sessionguard_long"))
    if config.getoption("sessionguard_store") and config.args_source is not config.ArgsSource.ARGS:
        package = importlib.util.find_spec("sessionguard")
        if package is None or package.origin is None:
            raise pytest.UsageError("--sessionguard-store needs the package sessionguard, which cannot be found")
        config.args = [str(Path(package.origin).parent / "testing" / "suite.py")]


@pytest.fixture(scope="session")
def tally(pytestconfig: pytest.Config) -> Tally:
    """How much to try, and the place to say how much was tried."""
    return pytestconfig.stash[TALLY]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In a worker of pytest-xdist, hand the counts to the process that prints them."""
    if (output := getattr(session.config, "workeroutput", None)) is not None:
        output["sessionguard"] = dict(session.config.stash[TALLY].counts)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take the counts of a worker of pytest-xdist that has ended; one that crashed has none."""
    node.config.stash[TALLY].counts.update(getattr(node, "workeroutput", {}).get("sessionguard", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    counts = config.stash[TALLY].counts
    if counts:
        terminalreporter.section("sessionguard")
    for what, count in counts.items():
        terminalreporter.line(f"{count:>12,} {what}")
