"""Seeded mutants: each file in `mutants/` is a mistake a good engineer could make, and names the tests that find it.

A mutant has five fields: `about` says what goes wrong for the user, `code` is the exact text in `file` (a path inside
the package) that `mutant` replaces, and `tests` are the tests of this checkout, one of which must fail. It is about the
guard, unless `package` says that it is about the turn gate.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import tomllib

import sessionguard
from pytest_sessionguard import Tally

PACKAGE = Path(sessionguard.__file__).parent
CHECKOUT = Path(__file__).parents[2]
GATE = CHECKOUT / "plugins" / "sessionguard-turns" / "sessionguard_turns"
SECONDS = 180.0


@dataclasses.dataclass(frozen=True)
class Mutant:
    """One mistake, as its file describes it."""

    name: str
    about: str
    file: str
    code: str
    mutant: str
    tests: Sequence[str]
    package: str = PACKAGE.name

    def infect(self, packages: Path) -> None:
        """Make the mistake in these copies of the packages; raises ValueError when its place cannot be found."""
        path = packages / self.package / self.file
        source = path.read_text(encoding="utf-8")
        if source.count(self.code) != 1:
            raise ValueError(f"{self.name}: the code has moved; move the mutant with it\n{self.code}")
        path.write_text(source.replace(self.code, self.mutant), encoding="utf-8")


MUTANTS = [
    Mutant(path.stem, **tomllib.loads(path.read_text(encoding="utf-8")))
    for path in sorted(Path(__file__).with_name("mutants").glob("*.toml"))
]


class Copy:
    """A copy of the installed package in a directory of its own, and pytest on it in a process of its own.

    The gate is there to be imported and is not installed, or every guard would have one.
    """

    def __init__(self, directory: Path) -> None:
        self.packages = directory / "copy"
        self._directory = directory
        for package in (PACKAGE, GATE):
            shutil.copytree(package, self.packages / package.name, ignore=shutil.ignore_patterns("__pycache__"))

    def pytest(self, *tests: str) -> subprocess.CompletedProcess[str]:
        """Run the tests until the first fails; paths are relative to the checkout, or absolute."""
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-rf", "-p", "no:cacheprovider"]
        command += [f"--rootdir={CHECKOUT}", f"--basetemp={self._directory / 'tests'}"]
        command += [str(CHECKOUT / test) for test in tests]
        # Not the checkout: the working directory comes first where Python looks for packages.
        return subprocess.run(
            command,
            cwd=self.packages,
            env=_environment(self.packages),
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )


def _environment(path: Path) -> dict[str, str]:
    """Return ours without what concerns this run of pytest, so that every process below imports from `path`."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("COV", "PYTEST", "PYTHON"))}
    return {**ours, "PYTHONPATH": str(path)}


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(tmp_path)


PROBE = """
import subprocess, sys
import sessionguard
from pytest_sessionguard import Tally

FILE = "import sessionguard; print(sessionguard.__file__)"
CHILD = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]], check=True)"

def test_where_the_package_comes_from(tmp_path):
    run = subprocess.run([sys.executable, "-c", CHILD, FILE], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert {sessionguard.__file__, run.stdout.strip()} == {%r}
"""


def test_the_copy_is_what_every_process_imports(copy: Copy, tmp_path: Path) -> None:
    """Pytest itself, and the children of the processes its tests start."""
    probe = tmp_path / "test_probe.py"
    probe.write_text(PROBE % str(copy.packages / PACKAGE.name / "__init__.py"))
    run = copy.pytest(str(probe))

    assert run.returncode == 0, run.stdout


def test_without_a_mutant_nothing_fails(copy: Copy) -> None:
    """All the tests that kill, on a copy in which no mistake was made."""
    run = copy.pytest(*sorted({test for mutant in MUTANTS for test in mutant.tests}))

    assert run.returncode == 0, run.stdout


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_is_killed_by_a_test_it_names(mutant: Mutant, copy: Copy, tally: Tally) -> None:
    """A test has failed: one that could not be collected or did not end has found nothing."""
    mutant.infect(copy.packages)
    run = copy.pytest(*mutant.tests)
    failures = [line for line in run.stdout.splitlines() if line.startswith("FAILED ")]

    assert run.returncode == pytest.ExitCode.TESTS_FAILED, f"{mutant.about}\n{run.stdout}{run.stderr}"
    assert failures, run.stdout
    tally.add(f"mutants of {len(MUTANTS)} killed", 1)


def test_a_mutant_whose_code_has_moved_says_so(copy: Copy) -> None:
    """Nobody believes for long that a test found what was never there."""
    mutant = dataclasses.replace(MUTANTS[0], code="this is nowhere in the package")
    with pytest.raises(ValueError, match="the code has moved; move the mutant with it"):
        mutant.infect(copy.packages)
