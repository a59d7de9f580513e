"""The versions that are tested here are the lowest that we allow: one that is too low to work is found, and raised."""

from __future__ import annotations

from importlib.metadata import distributions, requires, version

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


def test_every_library_has_the_lowest_version_that_is_allowed() -> None:
    """The first there was of the release that the requirement names."""
    installed = {name: version(name) for name in NAMED}
    floors = {name: _floor(requirement) for name, requirement in NAMED.items()}

    assert {name: at for name, at in installed.items() if at not in SpecifierSet(f"=={floors[name]}.*")} == {}


def _floor(requirement: Requirement) -> str:
    (floor,) = (each.version for each in requirement.specifier if each.operator == ">=")
    return floor
