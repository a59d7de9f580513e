"""One run of an environment, read out of the report that pytest left in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

NOT_PASSED = {"failure", "error", "skipped"}


class Unfit(Exception):
    """A report that no page can be made of; its message says what to do about it."""


@dataclass(frozen=True)
class Run:
    """Tests that have passed, each by the properties that it has recorded: its server, and the installed versions."""

    tests: Sequence[Mapping[str, str]]

    @classmethod
    def of(cls, environment: str, directory: Path) -> Run:
        """The last run of `environment` below tox's `directory`.

        Raises:
            Unfit: there was none, or not everything passed.

        """
        report, again = directory / environment / "junit.xml", f"run: tox -e {environment}"
        if not report.exists():
            raise Unfit(f"{report} is not there; {again}")
        cases = [*ElementTree.parse(report).iter("testcase")]
        if bad := [case.get("name", "") for case in cases if NOT_PASSED & {each.tag for each in case}]:
            raise Unfit(f"{report}: {', '.join(bad)} did not pass; mend it and {again}")
        return cls([dict(_properties(case)) for case in cases])

    def where(self, **properties: str | None) -> Run:
        """The tests that have recorded these properties; None stands for a property that was not recorded."""
        return Run([test for test in self.tests if all(test.get(name) == value for name, value in properties.items())])

    def version(self, name: str) -> str:
        """The versions of a distribution that tests have recorded, as a rule one."""
        return ", ".join(dict.fromkeys(test[name] for test in self.tests if name in test))


def _properties(case: ElementTree.Element) -> Iterator[tuple[str, str]]:
    for each in case.iterfind("properties/property"):
        yield each.get("name", ""), each.get("value", "")
