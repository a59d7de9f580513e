"""The effective configuration of a server that is about to start: what each setting is, and who has said so."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from sessionguard.cli.guard_options import FIELDS
from sessionguard.cli.opening import named
from sessionguard.plugins import PluginRegistry
from sessionguard.settings import PREFIX, GuardSettings, disabled_plugins

HIDDEN = "(hidden)"


class Setting(NamedTuple):
    """The text of a setting, and who has said so."""

    text: str
    source: str


@dataclass(frozen=True)
class Configuration:
    """Settings that are legal, `said` by options and the environment; plugins own the `declared` variables."""

    settings: GuardSettings
    said: Mapping[str, Setting]
    declared: Collection[str]
    store: str

    def lines(self) -> Iterator[str]:
        """Yield a line for each setting, and for each variable of a plugin that is set; no secret is in them."""
        for field in FIELDS:
            text, source = self.said.get(field.name, Setting(_text(getattr(self.settings, field.name)), "default"))
            if field.name == "store":
                text = self.store
            elif field.metadata["kind"].secret and source != "default":
                text = HIDDEN
            yield f"  {field.name:<18} {text}  [{source}]"
        yield from (f"  {variable} {HIDDEN}  [environment]" for variable in sorted(self.declared))


def configure(
    given: Mapping[str, str], implied: Mapping[str, tuple[str, str]], environ: MutableMapping[str, str]
) -> Configuration:
    """Check options and environment together, and put the options into the environment, for the workers.

    `implied` are settings, and what implies them, that count where nobody has said otherwise. Raises
    ConfigurationError.
    """
    registry = PluginRegistry((), disabled_plugins(given, environ))
    declared = registry.declared_variables()
    said = {name: Setting(*pair) for name, pair in implied.items()}
    for name in (field.name for field in FIELDS):
        if (variable := _variable(name)) in environ:
            said[name] = Setting(environ[variable], variable)
    said |= {name: Setting(text, f"--{name.replace('_', '-')}") for name, text in given.items()}
    settings = GuardSettings.load({name: setting.text for name, setting in said.items()}, environ, declared)
    store = registry.store(settings)
    environ.update({_variable(name): setting.text for name, setting in said.items()})
    url = str(settings.store)
    place = url if store.coordination == "process" else named(url, store)
    return Configuration(settings, said, declared.keys() & environ.keys(), place)


def _variable(name: str) -> str:
    return PREFIX + name.upper()


def _text(value: Any) -> str:
    """Return a default as people would write it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value) if isinstance(value, (str, int)) and value != "" else "none"
