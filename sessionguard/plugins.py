"""The plugins of one guard: found, blocked, checked, and turned into plain calls.

Every guard has a PluginManager of its own; importing the package loads nothing. Plugins come from the built-ins, from
the entry-point group `sessionguard`, and from the `plugins` setting, in this order.
"""

from __future__ import annotations

import difflib
import importlib.metadata
import inspect
import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, cast

import pluggy

from sessionguard.errors import ConfigurationError
from sessionguard.hookspecs import PROJECT, HookImplementation, SessionGuardHooks
from sessionguard.settings import GuardSettings
from sessionguard.store import SessionStore
from sessionguard.stores import BuiltinStores

OPENCLAW, STORES = "openclaw", "stores"
BUILTIN_NAMES = (OPENCLAW, STORES)

DISTRIBUTIONS = {
    "redis": "sessionguard-redis",
    "rediss": "sessionguard-redis",
    "unix": "sessionguard-redis",
    "postgresql": "sessionguard-postgres",
    "postgres": "sessionguard-postgres",
}
"""What brings the schemes that are not built in."""

_HOOK_NAMES = tuple(name for name in vars(SessionGuardHooks) if name.startswith(PROJECT))


class PluginRegistry:
    """The plugins of one guard. Raises ConfigurationError that names the plugin and the cure."""

    def __init__(self, objects: Sequence[object], disabled: Sequence[str]) -> None:
        # Plugins declare variables, so these two settings are needed, and checked, before the others can be read.
        GuardSettings(plugins=objects, disabled_plugins=disabled)
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(SessionGuardHooks)
        self._disabled = frozenset(disabled)
        installed = _installed()
        self._check_disabled([*BUILTIN_NAMES, *installed])
        self._add(STORES, BuiltinStores())
        explicit = {_class_of(plugin) for plugin in objects}
        for name, entry in installed.items():
            if name not in self._disabled and _class_of(loaded := _load(entry)) not in explicit:
                self._add(name, loaded)
        for plugin in objects:
            self._add(self._free_name(plugin), plugin)

    def add_openclaw(self, plugin: object) -> None:
        """Register the built-in key plugin, which needs the settings and therefore comes last."""
        self._add(OPENCLAW, plugin)

    def implementations(self) -> Mapping[str, Sequence[HookImplementation]]:
        """Return every hook's implementations in calling order."""
        return {name: self._compiled(name) for name in _HOOK_NAMES}

    def declared_variables(self) -> Mapping[str, str]:
        """Return the environment variables that plugins own, with a line about each."""
        merged = _merged(self._compiled("sessionguard_settings"), "variable")
        return {name: line for name, (_, line) in merged.items()}

    def store(self, settings: GuardSettings) -> SessionStore:
        """Return the store object, or make the one the URL asks for; nothing is opened."""
        if isinstance(settings.store, SessionStore):
            return settings.store
        factories = _merged(self._compiled("sessionguard_register_stores"), "store scheme")
        scheme = settings.store.partition(":")[0].lower()
        if scheme not in factories:
            raise self._unknown_scheme(scheme, factories)
        plugin, factory = factories[scheme]
        return cast("SessionStore", asked_at_start(plugin, factory, settings.store, settings, expects=SessionStore))

    def _unknown_scheme(self, scheme: str, known: Collection[str]) -> ConfigurationError:
        if scheme in DISTRIBUTIONS:
            blocked = f", and keep it out of SESSIONGUARD_DISABLED_PLUGINS={','.join(self._disabled)}"
            cure = f"run: pip install {DISTRIBUTIONS[scheme]}{blocked if self._disabled else ''}"
        else:
            cure = f"known are {', '.join(sorted(known))}. Is the plugin that brings it installed?"
        return ConfigurationError(f"store: no plugin offers {scheme}: URLs; {cure}")

    def _compiled(self, hook: str) -> Sequence[HookImplementation]:
        caller = getattr(self._manager.hook, hook)
        arguments = caller.spec.argnames
        return tuple(
            HookImplementation(each.plugin_name, _positional(each.function, arguments, each.argnames))
            for each in reversed(caller.get_hookimpls())
        )

    def _add(self, name: str, plugin: object) -> None:
        if name in self._disabled:
            return
        if isinstance(plugin, str):
            raise ConfigurationError(f"plugins: {plugin!r} is text; hand over the plugin object itself")
        try:
            plugin = plugin() if isinstance(plugin, type) else plugin
            self._manager.register(plugin, name)
            self._manager.check_pending()
        except Exception as error:
            raise ConfigurationError(f"plugin {name}: {error}{_did_you_mean(str(error))}") from error
        self._check_functions(name, plugin)

    def _free_name(self, plugin: object) -> str:
        name = str(getattr(plugin, "__name__", type(plugin).__name__))
        names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
        taken = {*BUILTIN_NAMES, *self._disabled}
        return next(free for free in names if free not in taken and not self._manager.has_plugin(free))

    def _check_functions(self, name: str, plugin: object) -> None:
        callers = self._manager.get_hookcallers(plugin) or []
        for implementation in (each for caller in callers for each in caller.get_hookimpls() if each.plugin is plugin):
            function = implementation.function
            if inspect.iscoroutinefunction(function):
                raise ConfigurationError(f"plugin {name}: {function.__name__} is async; write it with a plain def")
            if implementation.hookwrapper or implementation.wrapper:
                raise ConfigurationError(
                    f"plugin {name}: {function.__name__} is a wrapper; only plain hooks are called"
                )
        for attribute in (each for each in dir(plugin) if each.startswith(f"{PROJECT}_")):
            marked = self._manager.parse_hookimpl_opts(plugin, attribute) is not None
            if callable(getattr(plugin, attribute)) and not marked:
                raise ConfigurationError(
                    f"plugin {name}: {attribute} is not marked; put @hookimpl above it{_did_you_mean(attribute)}"
                )

    def _check_disabled(self, known: Sequence[str]) -> None:
        for name in self._disabled:
            if name not in known:
                raise ConfigurationError(
                    f"disabled_plugins: there is no plugin {name!r}; installed are {', '.join(sorted(known))}"
                )


def asked_at_start(plugin: str, call: Callable[..., Any], *arguments: object, expects: Any = Callable) -> Any:
    """Call a start-up hook; a failure, or an answer that is no `expects`, is a ConfigurationError naming the plugin."""
    try:
        answer = call(*arguments)
    except ConfigurationError:
        raise
    except Exception as error:
        raise ConfigurationError(f"plugin {plugin} failed while the guard was built: {error!r}") from error
    if inspect.iscoroutine(answer):
        answer.close()
    if not isinstance(answer, expects):
        raise ConfigurationError(
            f"plugin {plugin} answered {type(answer).__name__} while the guard was built, where it must return"
            f" a {expects.__name__}; hooks are plain functions, so look for a missing return or an async def"
        )
    return answer


def _installed() -> Mapping[str, importlib.metadata.EntryPoint]:
    found: dict[str, importlib.metadata.EntryPoint] = {}
    for entry in importlib.metadata.entry_points(group=PROJECT):
        first = found.setdefault(entry.name, entry)
        if first.value != entry.value:
            raise ConfigurationError(f"plugin {entry.name} is both {first.value} and {entry.value}; uninstall one")
    return found


def _load(entry: importlib.metadata.EntryPoint) -> Any:
    try:
        return entry.load()
    except Exception as error:
        raise ConfigurationError(
            f"plugin {entry.name} cannot be imported from {entry.value} ({error}); mend or uninstall it,"
            f" or set SESSIONGUARD_DISABLED_PLUGINS={entry.name}"
        ) from error


def _class_of(plugin: object) -> object:
    return plugin if isinstance(plugin, type) or inspect.ismodule(plugin) else type(plugin)


def _positional(function: Callable[..., Any], offered: Sequence[str], wanted: Sequence[str]) -> Callable[..., Any]:
    if tuple(wanted) == tuple(offered):
        return function
    places = [offered.index(name) for name in wanted]
    return lambda *arguments: function(*(arguments[place] for place in places))


def _merged(implementations: Sequence[HookImplementation], what: str) -> dict[str, tuple[str, Any]]:
    """Return what the plugins offer by name, each beside the plugin that offers it."""
    merged: dict[str, tuple[str, Any]] = {}
    for plugin, call in reversed(implementations):
        for name, value in asked_at_start(plugin, call, expects=Mapping).items():
            if name in merged:
                raise ConfigurationError(
                    f"{what} {name} is claimed by the plugins {merged[name][0]} and {plugin}; disable one"
                )
            merged[name] = plugin, value
    return merged


def _did_you_mean(text: str) -> str:
    words = [word for word in text.replace("'", " ").split() if word.startswith(f"{PROJECT}_")]
    if not words or not {*words}.isdisjoint(_HOOK_NAMES):
        return ""
    return "".join(f" (did you mean {near}?)" for near in difflib.get_close_matches(words[0], _HOOK_NAMES, n=1))
