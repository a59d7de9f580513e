"""The page that the runs become: the template `page.md`, with tables."""

from __future__ import annotations

import dataclasses
import string
from collections.abc import Iterator, Mapping
from pathlib import Path

from applications.application import APPLICATIONS
from environments import ENV_LIST
from frameworks.framework import BROKEN, FRAMEWORKS, Framework
from matrix.run import IN_PROCESS, Run
from servers.server import ADAPTERS, SERVERS, Server

KINDS: Mapping[str, Server] = {**SERVERS, **ADAPTERS}
BARE = "servers"
"""The environment of the application without a framework, which is tried on all servers in more ways."""

CORE = ("lowest-direct", *(name for name in ENV_LIST if name.startswith("py3")))
EXPECTED = {"places", "websocket_places"}
"""What each framework has an answer of its own to, so that there is no rest to be unlike."""


def page(directory: Path) -> str:
    """The text of the page for the last runs below tox's `directory`.

    Raises:
        Unfit: one of them is missing, or not everything has passed in it.

    """
    served = {name: Run.of(name, directory) for name in (*FRAMEWORKS, BARE)}
    return string.Template((Path(__file__).parent / "page.md").read_text()).substitute(
        python=", ".join(dict.fromkeys(run.versions["python"] for run in served.values())),
        frameworks="\n".join(_frameworks(served)),
        broken="\n".join(f"- {' on '.join(cell)}, no {broken.what}: {broken.why}" for cell, broken in BROKEN.items()),
        pythons="\n".join(_pythons(directory)),
        applications="\n".join(_applications({name: Run.of(name, directory) for name in APPLICATIONS})),
    )


def _frameworks(runs: Mapping[str, Run]) -> Iterator[str]:
    yield _row("", *(_server(name, runs) for name in KINDS), IN_PROCESS, "unlike the rest in")
    yield _row("---", *["---:"] * (len(KINDS) + 1), "---")
    for name, run in runs.items():
        named, unlike = ("no framework", "") if name == BARE else (_framework(name, run), _unlike(FRAMEWORKS[name]))
        yield _row(named, *(_cell(name, server, run) for server in (*KINDS, IN_PROCESS)), unlike)
    yield _row("unlike the rest in", *(_unlike(kind) for kind in KINDS.values()), "", "")


def _framework(name: str, run: Run) -> str:
    distribution = FRAMEWORKS[name].distribution
    return _named(name, distribution, run.versions[distribution])


def _server(name: str, runs: Mapping[str, Run]) -> str:
    distribution = KINDS[name].distribution
    versions = dict.fromkeys(run.versions[distribution] for run in runs.values() if distribution in run.versions)
    return _named(name, distribution, ", ".join(versions))


def _named(name: str, distribution: str, version: str) -> str:
    return f"{name} {version}" if name.startswith(distribution) else f"{name}, {distribution} {version}"


def _cell(name: str, server: str, run: Run) -> str:
    broken = BROKEN.get((name, server))
    count = str(run.passed.get(server, "-"))
    return count if broken is None else f"{count}, no {broken.what}"


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
    yield _row(*("not there" if run is None else f"{run.total} on {run.versions['python']}" for run in runs))


def _applications(runs: Mapping[str, Run]) -> Iterator[str]:
    yield _row("environment", "what was guarded", "tests")
    yield _row("---", "---", "---:")
    for name, run in runs.items():
        guarded = ", ".join(f"{distribution} {run.versions[distribution]}" for distribution in APPLICATIONS[name])
        yield _row(name, guarded, str(run.total))


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
