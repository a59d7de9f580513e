"""The page that the runs become: the template `page.md`, with tables."""

from __future__ import annotations

import dataclasses
import string
from collections.abc import Iterator
from pathlib import Path

from applications.application import APPLICATIONS
from frameworks.framework import BROKEN, FRAMEWORKS, Framework
from matrix.run import Run
from servers.server import KINDS, Server

FULL = "frameworks-full"
"""The environment of all frameworks and the application without one, with all tests on all servers."""

GUARDED = ("applications", "litellm")
CORE = ("lowest", "py311", "py312", "py313", "py314")
IN_PROCESS = "in process"
"""The column of tests that talk to no server."""

EXPECTED = {"places", "websocket_places"}
"""Fields in which each framework differs, so that there is no rest to be unlike."""


def page(directory: Path) -> str:
    """The text of the page for the last runs below tox's `directory`.

    Raises:
        Unfit: one of them is missing, or not everything has passed in it.

    """
    full = Run.of(FULL, directory)
    applications = Run([test for name in GUARDED for test in Run.of(name, directory).tests])
    return string.Template((Path(__file__).parent / "page.md").read_text()).substitute(
        python=full.version("python"),
        frameworks="\n".join(_frameworks(full)),
        broken="\n".join(f"- {' on '.join(cell)}, no {broken.what}: {broken.why}" for cell, broken in BROKEN.items()),
        pythons="\n".join(_pythons(directory)),
        applications="\n".join(_applications(applications)),
    )


def _frameworks(run: Run) -> Iterator[str]:
    heads = [_named(name, kind.distribution, run) for name, kind in KINDS.items()]
    yield _row("", *heads, IN_PROCESS, "unlike the rest in")
    yield _row("---", *["---:"] * (len(KINDS) + 1), "---")
    for name, framework in FRAMEWORKS.items():
        yield _row(_named(name, framework.distribution, run), *_cells(name, run), _unlike(framework))
    yield _row("no framework", *_cells(None, run), "")
    yield _row("unlike the rest in", *(_unlike(kind) for kind in KINDS.values()), "", "")


def _named(name: str, distribution: str, run: Run) -> str:
    version = run.version(distribution)
    return f"{name} {version}" if name.startswith(distribution) else f"{name}, {distribution} {version}"


def _cells(framework: str | None, run: Run) -> Iterator[str]:
    for server in (*KINDS, None):
        broken = BROKEN.get((framework or "", server or ""))
        count = len(run.where(framework=framework, server=server).tests)
        yield f"{count or '-'}" if broken is None else f"{count}, no {broken.what}"


def _unlike(kind: Framework | Server) -> str:
    fields = [field for field in dataclasses.fields(kind) if field.default is not dataclasses.MISSING]
    return ", ".join(
        f"`{field.name}`"
        for field in fields
        if field.name not in EXPECTED and getattr(kind, field.name) != field.default
    )


def _pythons(directory: Path) -> Iterator[str]:
    yield _row(*CORE)
    yield _row(*["---:"] * len(CORE))
    runs = [Run.of(name, directory) if (directory / name / "junit.xml").exists() else None for name in CORE]
    yield _row(*("not there" if run is None else f"{len(run.tests)} on {run.version('python')}" for run in runs))


def _applications(run: Run) -> Iterator[str]:
    yield _row("application", "guarded", "tests")
    yield _row("---", "---", "---:")
    for name, distributions in APPLICATIONS.items():
        guarded = ", ".join(f"{distribution} {run.version(distribution)}" for distribution in distributions)
        yield _row(name, guarded, str(len(run.where(application=name).tests)))


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
