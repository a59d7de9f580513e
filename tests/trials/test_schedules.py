"""Schedules with a faulty wire, crashes and wrong clocks, played in no time."""

from __future__ import annotations

import logging

import pytest

from pytest_sessionguard import Tally
from sessionguard.testing.simulation import main


def test_no_schedule_breaks_the_law(tally: Tally, caplog: pytest.LogCaptureFixture) -> None:
    """Every seed that does is printed, and replays."""
    caplog.set_level(logging.CRITICAL)  # A broken wire is the point here, not news.
    schedules = tally.choose(5_000, 1_000_000)

    assert main(schedules) == 0
    tally.add("simulated schedules, none of which broke the law", schedules)
