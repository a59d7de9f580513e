"""One run of an environment, read out of the report that pytest left in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

IN_PROCESS = "in process"
"""Where tests run that talk to no server."""


NOT_PASSED = {"failure", "error", "skipped"}


class Unfit(Exception):
    """A report that no page can be made of; its message says what to do about it."""


@dataclass(frozen=True)
class Run:
    """What was installed, and how many tests have passed on each server."""

    versions: Mapping[str, str]
    passed: Mapping[str, int]

    @property
    def total(self) -> int:
        return sum(self.passed.values())

    @classmethod
    def of(cls, environment: str, directory: Path) -> Run:
        """The last run of `environment` below tox's `directory`.

        Raises:
            Unfit: there was none, or not everything passed.

        """
        report, again = directory / environment / "junit.xml", f"run: tox -e {environment}"
        if not report.exists():
            raise Unfit(f"{report} is not there; {again}")
        suites = ElementTree.parse(report).getroot()
        if bad := [case.get("name") for case in suites.iter("testcase") if NOT_PASSED & {each.tag for each in case}]:
            raise Unfit(f"{report}: {', '.join(map(str, bad))} did not pass; mend it and {again}")
        passed = Counter(_properties(case).get("server", IN_PROCESS) for case in suites.iter("testcase"))
        versions = {name: text for suite in suites.iter("testsuite") for name, text in _properties(suite).items()}
        return cls(versions, passed)


def _properties(element: ElementTree.Element) -> dict[str, str]:
    return {each.get("name", ""): each.get("value", "") for each in element.iterfind("properties/property")}
