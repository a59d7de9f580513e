"""The page of figures is what the benchmark writes, of the figures that it has today."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"
PAGE = (ROOT / "docs" / "performance.md").read_text()
PLOT = (ROOT / "docs" / "performance.svg").read_text()
TARGETS: dict[str, Any] = runpy.run_path(str(BENCHMARKS / "targets.py"))["TARGETS"]


def section(heading: str) -> str:
    return PAGE.partition(f"## {heading}\n\n")[2].partition("\n\n## ")[0]


def table(heading: str) -> list[list[str]]:
    """The cells of a section's table, without its head."""
    lines = [line for line in section(heading).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:]]


FIGURES = table("Figures")
MISSED = section("What was not reached")
UNMEASURED = set(re.findall(r"^\*\*(.+)\*\*: not measured here", MISSED, re.MULTILINE))
NOTES = {
    heading: text.strip()
    for heading, _, text in (note.partition("\n") for note in (BENCHMARKS / "notes.md").read_text().split("\n## ")[1:])
}


def test_the_page_is_the_template_with_a_run_in_it() -> None:
    """Whoever changes a word changes the template, and lets the benchmark write the page again."""
    pattern = re.sub(r"\\\$\w+", "(?s:.+)", re.escape((BENCHMARKS / "page.md").read_text()))

    assert re.fullmatch(pattern, PAGE)


def test_the_page_has_the_figures_of_the_benchmark() -> None:
    """All of them, in order, with what they had to reach; what could not be measured is named as such."""
    expected = [[target.work, target.to_reach] for target in TARGETS.values() if target.work not in UNMEASURED]

    assert [[work, to_reach] for work, _, to_reach, _ in FIGURES] == expected


def test_a_figure_is_explained_where_it_was_not_reached() -> None:
    """And only there."""
    explained = {
        work: f"**{work}**: {measured} where {to_reach} was to be reached." in MISSED
        for work, measured, to_reach, _ in FIGURES
    }

    assert explained == {work: reached == "no" for work, _, _, reached in FIGURES}


def test_nothing_on_the_page_was_wrong() -> None:
    """A figure may be missed, a promise may not."""
    laws = {target.work for target in TARGETS.values() if target.is_law} - UNMEASURED

    assert {work: reached for work, _, _, reached in FIGURES if work in laws} == dict.fromkeys(laws, "yes")


def test_the_plot_is_of_the_same_run() -> None:
    """It shows the shares of the table."""
    shares = [share for _, _, _, share in table("Contenders") if share]

    assert len(shares) > 10
    assert [share for share in shares if f">{share}</text>" not in PLOT] == []


def test_every_note_is_about_a_figure() -> None:
    """One about a figure that is called otherwise by now would never be read."""
    assert NOTES
    assert set(NOTES) <= {target.work for target in TARGETS.values()}


def test_a_note_stands_below_a_figure_that_was_not_reached() -> None:
    """And nowhere else; it was written before the run, or the run is made again."""
    missed = {work: f"**{work}**: " in MISSED and work not in UNMEASURED for work in NOTES}

    assert {work: note in MISSED for work, note in NOTES.items()} == missed
