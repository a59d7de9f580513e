"""`sessionguard plugins`: which are there, what each does, and what keeps one from it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence

import typer

from sessionguard.cli.exits import Exit
from sessionguard.cli.options import AsJson
from sessionguard.cli.plugin_inspection import InspectedPlugin, State, inspect_plugins, problem_of_all


def plugins(as_json: AsJson = False) -> None:
    """List the plugins with their versions and the hooks they implement, blocked and broken ones too.

    Exits with 1 when a guard of this environment would not start with them.
    """
    found, problem = inspect_plugins(os.environ), problem_of_all(os.environ)
    typer.echo(_as_json(found, problem) if as_json else "\n".join(_lines(found, problem)))
    broken = problem is not None or any(plugin.state is State.BROKEN for plugin in found)
    raise typer.Exit(Exit.FINDING if broken else Exit.OK)


def _as_json(found: Sequence[InspectedPlugin], problem: str | None) -> str:
    facts = [{**vars(plugin), "state": plugin.state.value} for plugin in found]
    return json.dumps({"plugins": facts, "problem": problem})


def _lines(found: Sequence[InspectedPlugin], problem: str | None) -> Iterator[str]:
    for plugin in found:
        yield f"{plugin.state.value:<8} {plugin.name}, of {plugin.distribution} {plugin.version}"
        for words, names in (
            ("hooks", plugin.hooks),
            ("stores", [f"{scheme}:" for scheme in plugin.schemes]),
            ("variables", plugin.variables),
        ):
            if names:
                yield f"         {words}: {', '.join(names)}"
        if plugin.problem is not None:
            yield f"         {plugin.problem}"
    if problem is not None:
        yield f"A guard of this environment does not start: {problem}"
