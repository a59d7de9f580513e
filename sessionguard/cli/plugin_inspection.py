"""What is installed in the way of plugins: those that work, those that are blocked, and what is wrong with the rest."""

from __future__ import annotations

import enum
import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sessionguard.errors import ConfigurationError
from sessionguard.hookspecs import PROJECT
from sessionguard.openclaw import OpenClawKeys
from sessionguard.plugins import BUILTIN_NAMES, PluginRegistry, asked_at_start
from sessionguard.settings import GuardSettings, disabled_plugins


class State(enum.Enum):
    """Whether a plugin takes part; the text is for scripts."""

    ACTIVE = "active"
    BLOCKED = "blocked"
    BROKEN = "broken"


@dataclass(frozen=True)
class InspectedPlugin:
    """A plugin, what it comes from, and what it does; `problem` says how a broken one is mended."""

    name: str
    distribution: str
    version: str
    state: State
    hooks: Sequence[str] = ()
    schemes: Sequence[str] = ()
    variables: Sequence[str] = ()
    problem: str | None = None


def inspect_plugins(environ: Mapping[str, str]) -> Sequence[InspectedPlugin]:
    """Return the built-in plugins and the installed ones, each judged by itself."""
    disabled = disabled_plugins({}, environ)
    entries = importlib.metadata.entry_points(group=PROJECT)
    names = {entry.name for entry in entries}
    version = importlib.metadata.version(PROJECT)
    found = [(name, PROJECT, version) for name in sorted(BUILTIN_NAMES)]
    found += sorted((entry.name, *_origin(entry)) for entry in entries)
    return [_inspect(*each, disabled, [*names - {each[0]}]) for each in found]


def problem_of_all(environ: Mapping[str, str]) -> str | None:
    """Return why no guard starts with these plugins and these variables together, None when one does."""
    try:
        registry = PluginRegistry((), disabled_plugins({}, environ))
        GuardSettings.load({}, environ, registry.declared_variables())
    except ConfigurationError as error:
        return str(error)
    return None


def _origin(entry: importlib.metadata.EntryPoint) -> tuple[str, str]:
    return ("", "") if entry.dist is None else (entry.dist.name, entry.dist.version)


def _inspect(
    name: str, distribution: str, version: str, disabled: Sequence[str], others: Sequence[str]
) -> InspectedPlugin:
    if name in disabled:
        return InspectedPlugin(name, distribution, version, State.BLOCKED)
    try:
        return InspectedPlugin(name, distribution, version, State.ACTIVE, *_deeds(name, others))
    except ConfigurationError as error:
        return InspectedPlugin(name, distribution, version, State.BROKEN, problem=str(error))


def _deeds(name: str, others: Sequence[str]) -> tuple[Sequence[str], Sequence[str], Sequence[str]]:
    """Return the hooks a plugin implements, the schemes it offers and the variables it owns."""
    registry = PluginRegistry((), others)
    registry.add_openclaw(OpenClawKeys(GuardSettings().header))
    calls = {
        hook: implementation.call
        for hook, implementations in registry.implementations().items()
        for implementation in implementations
        if implementation.plugin == name
    }

    def offered(hook: str) -> Sequence[str]:
        return sorted(asked_at_start(name, calls[hook], expects=Mapping)) if hook in calls else ()

    return list(calls), offered("sessionguard_register_stores"), offered("sessionguard_settings")
