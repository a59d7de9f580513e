"""The versions that are tested here are the lowest that we allow: one that is too low to work is found, and raised."""

from __future__ import annotations

from importlib.metadata import distributions, requires, version

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

PLUGINS = {each.name for each in distributions() if each.name.startswith("sessionguard-")}
"""Where there are some, what they need may need more of our own libraries than we do."""

NAMED = {
    requirement.name: requirement
    for name in sorted(PLUGINS or {"sessionguard"})
    for requirement in map(Requirement, requires(name) or ())
    if requirement.name != "sessionguard"
}


def test_there_are_libraries_to_look_at() -> None:
    assert NAMED


@pytest.mark.parametrize("name", NAMED)
def test_a_library_has_the_lowest_version_that_is_allowed(name: str) -> None:
    """The first there was of the release that the requirement names."""
    (floor,) = (each.version for each in NAMED[name].specifier if each.operator == ">=")

    assert version(name) in SpecifierSet(f"=={floor}.*")
