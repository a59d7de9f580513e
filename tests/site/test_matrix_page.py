"""The page of tested versions repeats the reports of the last runs, and names every framework, server and Python."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from xml.etree import ElementTree

import pytest
from applications.application import APPLICATIONS
from frameworks.framework import BROKEN, FRAMEWORKS
from matrix.page import CORE, FULL, GUARDED, IN_PROCESS
from servers.server import KINDS, SERVERS

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "matrix.md").read_text()
VERSION = r"\d+\.\d+(\.\d+)?(\.?\w+)*"


def table(page: str, heading: str) -> list[list[str]]:
    """The cells of a section's table, its head first."""
    section = page.partition(f"## {heading}\n\n")[2].partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in section.splitlines()]
    return [rows[0], *rows[2:]]


def cells(page: str) -> dict[tuple[str, str], str]:
    """The cells of the table of frameworks, by framework and server."""
    rows = table(page, "Frameworks on servers")[1:-1]
    names = [*FRAMEWORKS, "no framework"]
    columns = [*KINDS, IN_PROCESS]
    return {
        (name, column): cell
        for name, row in zip(names, rows, strict=True)
        for column, cell in zip(columns, row[1:-1], strict=True)
    }


def report(directory: Path, environment: str, tests: Iterable[Mapping[str, str]], outcome: str = "") -> None:
    """Leave a report as pytest does: a test with each of these properties, and one with an outcome."""
    suite = ElementTree.Element("testsuite")
    for test in tests:
        properties = ElementTree.SubElement(ElementTree.SubElement(suite, "testcase", name="it works"), "properties")
        for name, value in test.items():
            ElementTree.SubElement(properties, "property", name=name, value=value)
    last = ElementTree.SubElement(suite, "testcase", name="it is so")
    if outcome:
        ElementTree.SubElement(last, outcome)
    (directory / environment).mkdir(exist_ok=True)
    ElementTree.ElementTree(suite).write(directory / environment / "junit.xml")


def full_run() -> Iterator[Mapping[str, str]]:
    """For each framework one test in the process, and for each server as many as its name has letters; then one test on
    each server without a framework.
    """
    for name, framework in FRAMEWORKS.items():
        ran = {"python": "3.0", "framework": name, framework.distribution: "1.0"}
        yield ran
        for server, kind in SERVERS.items():
            yield from [{**ran, "server": server, kind.distribution: "2.0"}] * len(server)
    for server, kind in KINDS.items():
        yield {"python": "3.0", "server": server, kind.distribution: "2.0"}


def write(directory: Path) -> subprocess.CompletedProcess[str]:
    """Write the page out of the reports in this directory."""
    command = [sys.executable, "-m", "matrix", str(directory), str(directory / "matrix.md")]
    return subprocess.run(command, cwd=ROOT / "tests", capture_output=True, text=True, check=False)


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    """A directory of tox in which every environment has run but that of one Python."""
    report(tmp_path, FULL, full_run())
    for environment in GUARDED:
        names = ["litellm"] if environment == "litellm" else [name for name in APPLICATIONS if name != "litellm"]
        report(
            tmp_path, environment, ({"application": name, **dict.fromkeys(APPLICATIONS[name], "4.0")} for name in names)
        )
    for environment in CORE[:-1]:
        report(tmp_path, environment, [{"python": "3.0"}])
    return tmp_path


def test_the_page_fits_on_one_screen() -> None:
    assert len(PAGE.splitlines()) <= 50


def test_the_page_is_the_template_with_tables_in_it() -> None:
    """A word is changed in the template, and the page is written again."""
    template = (ROOT / "tests" / "matrix" / "page.md").read_text()

    assert re.fullmatch(re.sub(r"\\\$\w+", "(?s:.+)", re.escape(template)), PAGE)


def test_every_framework_has_a_row_with_its_version() -> None:
    """And a number, with the word for a broken part, for every server that frameworks are tried on."""
    rows = table(PAGE, "Frameworks on servers")[1:-2]
    named = [row[0] for row in rows]

    assert [re.split("[ ,]", name)[0] for name in named] == list(FRAMEWORKS)
    assert [name for name in named if not re.search(rf" {VERSION}$", name)] == []
    assert [
        cell
        for cell, text in cells(PAGE).items()
        if cell[0] in FRAMEWORKS and cell[1] in SERVERS and not re.match("[1-9]", text)
    ] == []
    assert {cell for cell, text in cells(PAGE).items() if ", no " in text} == {*BROKEN}


def test_every_server_has_a_column_with_its_version() -> None:
    heads = table(PAGE, "Frameworks on servers")[0][1 : len(KINDS) + 1]

    assert [re.split("[ ,]", head)[0] for head in heads] == list(KINDS)
    assert [head for head in heads if not re.search(rf" {VERSION}$", head)] == []


def test_every_python_has_a_column_with_its_version() -> None:
    """Or the word that it was not there."""
    head, tested = table(PAGE, "Pythons")
    shown = dict(zip(head, tested, strict=True))

    assert head == list(CORE)
    assert re.fullmatch(rf"\d+ on {VERSION}", shown.pop("lowest"))
    assert [name for name, cell in shown.items() if not re.search(rf" on 3\.{name[3:]}\.", cell)] in ([], ["py314"])
    assert shown["py314"] == "not there" or " on 3.14." in shown["py314"]


def test_every_application_has_a_row_with_its_version() -> None:
    rows = {row[0]: row[1:] for row in table(PAGE, "Applications")[1:]}

    assert list(rows) == list(APPLICATIONS)
    assert [row for row in rows.values() if not re.fullmatch(rf"[\w-]+ {VERSION}(, [\w-]+ {VERSION})*", row[0])] == []
    assert [row for row in rows.values() if int(row[1]) < 1] == []


def test_every_broken_part_is_named_with_its_reason() -> None:
    named = [f"- {' on '.join(cell)}, no {broken.what}: {broken.why}" for cell, broken in BROKEN.items()]

    assert [line for line in named if line not in PAGE.splitlines()] == []


def test_the_numbers_are_those_of_the_reports(reports: Path) -> None:
    """Every test is counted where it ran; a broken part stands beside its number."""
    run = write(reports)
    page = (reports / "matrix.md").read_text()
    in_process = {(name, IN_PROCESS): "1" for name in FRAMEWORKS}
    alone = {("no framework", server): "1" for server in KINDS} | {("no framework", IN_PROCESS): "1"}
    served = {
        (name, server): "-"
        if server not in SERVERS
        else f"{len(server)}" + (f", no {BROKEN[name, server].what}" if (name, server) in BROKEN else "")
        for name in FRAMEWORKS
        for server in KINDS
    }

    assert run.returncode == 0, run.stderr
    assert cells(page) == served | in_process | alone
    assert "Python 3.0," in page
    assert [row[1:] for row in table(page, "Applications")[1:]] == [
        [", ".join(f"{name} 4.0" for name in names), "1"] for names in APPLICATIONS.values()
    ]
    assert table(page, "Pythons")[1] == [*["2 on 3.0"] * (len(CORE) - 1), "not there"]


@pytest.mark.parametrize("outcome", ["failure", "error", "skipped"])
def test_a_run_in_which_not_everything_passed_is_no_page(reports: Path, outcome: str) -> None:
    """The program says which test of which run."""
    report(reports, FULL, full_run(), outcome)
    run = write(reports)

    said = f"error: {reports / FULL / 'junit.xml'}: it is so did not pass; mend it and run: tox -e {FULL}\n"
    assert (run.returncode, run.stderr) == (1, said)
    assert not (reports / "matrix.md").exists()


def test_a_run_that_is_missing_is_named(reports: Path) -> None:
    (reports / "litellm" / "junit.xml").unlink()
    run = write(reports)

    assert run.stderr == f"error: {reports / 'litellm' / 'junit.xml'} is not there; run: tox -e litellm\n"
