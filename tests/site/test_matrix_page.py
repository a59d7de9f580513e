"""The page of what was tested with what is what the reports of the last runs say, and has all there is."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from applications.application import APPLICATIONS
from environments import ENV_LIST, ROOT, siblings
from frameworks.framework import BROKEN, FRAMEWORKS
from matrix.page import BARE, CORE, KINDS
from matrix.run import IN_PROCESS
from servers.server import SERVERS

PAGE = (ROOT / "docs" / "matrix.md").read_text()
DISTRIBUTIONS = [kind.distribution for kind in (*KINDS.values(), *FRAMEWORKS.values())]
DISTRIBUTIONS += [name for names in APPLICATIONS.values() for name in names]
SERVED = dict(zip(KINDS, range(10, 100, 10), strict=False))
"""How many tests a report has for each server."""

VERSION = r"\d+\.\d+(\.\d+)?(\.?\w+)*"


def table(page: str, heading: str) -> list[list[str]]:
    """The cells of a section's table, its head first."""
    section = page.partition(f"## {heading}\n\n")[2].partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in section.splitlines()]
    return [rows[0], *rows[2:]]


def report(directory: Path, environment: str, served: Mapping[str, int], outcome: str = "") -> None:
    """Leave what pytest would have left: tests on each server, and one in the process, with an outcome."""
    case = '<testcase name="it works"><properties><property name="server" value="{}" /></properties></testcase>'
    cases = [case.format(server) for server, count in served.items() for _ in range(count)]
    versions = {name: f"1.{number}" for number, name in enumerate(dict.fromkeys(["python", "asgiref", *DISTRIBUTIONS]))}
    properties = [f'<property name="{name}" value="{version}" />' for name, version in versions.items()]
    (directory / environment).mkdir()
    (directory / environment / "junit.xml").write_text(
        f"<testsuites><testsuite><properties>{''.join(properties)}</properties>{''.join(cases)}"
        f'<testcase name="it is so">{outcome}</testcase></testsuite></testsuites>'
    )


def write(directory: Path) -> subprocess.CompletedProcess[str]:
    """Call the program as tox would, if it had its environments in this directory, and wanted the page there."""
    asked = [sys.executable, "-m", "tox", "config", "-e", "matrix-page", "-k", "commands", "--workdir", str(directory)]
    answer = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    module, environments, page = answer.partition("commands = python -m ")[2].split()
    (directory / "docs").mkdir()
    command = [sys.executable, "-m", module, environments, str(directory / Path(page).relative_to(ROOT))]
    return subprocess.run(command, cwd=ROOT / "tests", capture_output=True, text=True, check=False)


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    """A directory of tox in which everything has run but one Python, and nothing was broken."""
    for environment in (BARE, *FRAMEWORKS, *APPLICATIONS, *CORE[:-1]):
        report(tmp_path, environment, SERVED if environment in FRAMEWORKS else {})
    return tmp_path


def test_the_page_fits_on_one_screen() -> None:
    assert len(PAGE.splitlines()) <= 50


def test_the_page_is_the_template_with_tables_in_it() -> None:
    """Whoever changes a word changes the template, and lets the page be written again."""
    template = (ROOT / "tests" / "matrix" / "page.md").read_text()

    assert re.fullmatch(re.sub(r"\\\$\w+", "(?s:.+)", re.escape(template)), PAGE)


@pytest.mark.parametrize("name", siblings("plain"))
def test_every_framework_has_a_row_with_its_version(name: str) -> None:
    """And a number, or what is broken, for every server that frameworks are tried on."""
    (row,) = [row for row in table(PAGE, "Frameworks on servers") if re.fullmatch(rf"{name}(, \w+)? {VERSION}", row[0])]
    tried = row[1 : 1 + len(SERVERS)]

    assert [cell for cell in tried if not re.match(r"[1-9]", cell)] == []
    assert {server for server, cell in zip(KINDS, row[1:], strict=False) if ", no " in cell} == {
        server for framework, server in BROKEN if framework == name
    }


def test_every_server_has_a_column_with_its_version() -> None:
    head = table(PAGE, "Frameworks on servers")[0]

    assert [re.split("[ ,]", cell)[0] for cell in head[1 : len(KINDS) + 1]] == list(KINDS)
    assert [cell for cell in head[1 : len(KINDS) + 1] if not re.search(rf" {VERSION}$", cell)] == []


def test_every_python_that_tox_names_has_a_column() -> None:
    """With its own version, or the word that it was not there."""
    head, tested = table(PAGE, "Pythons")
    named = [name for name in ENV_LIST if re.fullmatch(r"py3\d+", name)]
    shown = dict(zip(head, tested, strict=True))

    assert head == ["lowest-direct", *named]
    assert re.fullmatch(rf"\d+ on {VERSION}", shown.pop("lowest-direct"))
    assert [name for name in named if not re.match(rf"\d+ on 3\.{name[3:]}\.", shown[name])] in ([], ["py314"])
    assert shown["py314"] == "not there" or " on 3.14." in shown["py314"]


def test_every_application_has_a_row_with_its_version() -> None:
    rows = {row[0]: row[1:] for row in table(PAGE, "Applications")[1:]}

    assert tuple(rows) == tuple(siblings("vllm"))
    assert [row for row in rows.values() if not re.fullmatch(rf"[\w-]+ {VERSION}(, [\w-]+ {VERSION})*", row[0])] == []
    assert [row for row in rows.values() if int(row[1]) < 1] == []


@pytest.mark.parametrize(("cell", "broken"), BROKEN.items(), ids=lambda value: "-".join(value))
def test_what_is_broken_is_named_with_its_reason(cell: Sequence[str], broken: Sequence[str]) -> None:
    assert f"- {' on '.join(cell)}, no {broken[0]}: {broken[1]}" in PAGE.splitlines()


def test_the_numbers_are_those_of_the_reports(reports: Path) -> None:
    """Every test is counted where it ran."""
    run = write(reports)
    page = (reports / "docs" / "matrix.md").read_text()
    (row,) = [row for row in table(page, "Frameworks on servers") if row[0].startswith("starlette ")]

    assert run.returncode == 0, run.stderr
    assert row[1:-1] == [*map(str, SERVED.values()), "1"]
    assert "Python 1.0," in page
    assert table(page, "Frameworks on servers")[0][-2] == IN_PROCESS
    assert [row[2] for row in table(page, "Applications")[1:]] == ["1"] * len(APPLICATIONS)
    assert table(page, "Pythons")[1] == [*["1 on 1.0"] * (len(CORE) - 1), "not there"]


def test_a_number_stands_beside_what_is_broken(reports: Path) -> None:
    """It counts the tests that it is broken without the guard too."""
    write(reports)
    rows = table((reports / "docs" / "matrix.md").read_text(), "Frameworks on servers")
    cells = {
        (re.split("[ ,]", row[0])[0], server): cell
        for row in rows
        for server, cell in zip(KINDS, row[1:], strict=False)
    }

    assert {cell: text for cell, text in cells.items() if ", no " in text} == {
        cell: f"{SERVED[cell[1]]}, no {broken.what}" for cell, broken in BROKEN.items()
    }


@pytest.mark.parametrize("outcome", ["failure", "error", "skipped"])
def test_a_run_in_which_not_everything_passed_is_no_page(reports: Path, outcome: str) -> None:
    """The program says which test of which run."""
    (reports / "flask" / "junit.xml").unlink()
    (reports / "flask").rmdir()
    report(reports, "flask", {}, f"<{outcome} />")
    run = write(reports)

    assert run.returncode == 1
    assert (
        run.stderr
        == f"error: {reports / 'flask' / 'junit.xml'}: it is so did not pass; mend it and run: tox -e flask\n"
    )
    assert not (reports / "docs" / "matrix.md").exists()


def test_a_run_that_is_missing_is_named(reports: Path) -> None:
    (reports / "vllm" / "junit.xml").unlink()
    run = write(reports)

    assert run.stderr == f"error: {reports / 'vllm' / 'junit.xml'} is not there; run: tox -e vllm\n"
