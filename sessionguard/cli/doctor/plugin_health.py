"""The plugins a guard of this environment would start with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sessionguard.cli.doctor.findings import green, red, yellow
from sessionguard.cli.plugin_inspection import State, inspect_plugins, problem_of_all
from sessionguard.records import Diagnosis

SUBJECT = "plugins"


def check(environ: Mapping[str, str]) -> Iterator[Diagnosis]:
    """Look at each, and at all of them together."""
    found = inspect_plugins(environ)
    named = {state: [f"{each.name} {each.version}" for each in found if each.state is state] for state in State}
    if blocked := named[State.BLOCKED]:
        yield yellow(SUBJECT, f"blocked: {', '.join(blocked)}", "if that is not meant: SESSIONGUARD_DISABLED_PLUGINS")
    if problem := problem_of_all(environ):
        yield red(SUBJECT, f"no guard starts here: {problem}")
    else:
        yield green(SUBJECT, f"in use: {', '.join(named[State.ACTIVE])}")
