"""Finding, blocking and checking plugins: whatever is wrong with one, the error names it and the cure."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from sessionguard import ConfigurationError, SessionGuard, hookimpl
from sessionguard.asgi import ASGIApp, Receive, Scope, Send
from sessionguard.settings import GuardSettings
from sessionguard.stores.memory import MemoryStore

Install = Callable[..., None]


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError("no request is sent here")


def build(*plugins: object, **options: Any) -> SessionGuard:
    return SessionGuard(app, **{"store": "memory:", "plugins": plugins, **options})


def error_of(*plugins: object, **options: Any) -> str:
    """What building a guard with these plugins says."""
    with pytest.raises(ConfigurationError) as caught:
        build(*plugins, **options)
    return str(caught.value)


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Installs distributions for one test: a module and its metadata in a directory on `sys.path`."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    modules: list[str] = []

    def add(name: str, code: str, target: str, entry: str = "lantern") -> None:
        (site / f"{name}.py").write_text(code)
        metadata = site / f"{name}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[sessionguard]\n{entry} = {target}\n")
        importlib.invalidate_caches()
        modules.append(name)

    yield add
    for name in modules:
        sys.modules.pop(name, None)


LANTERN = """
from sessionguard import hookimpl

lit = []


class Lantern:
    def __init__(self):
        lit.append(self)

    @hookimpl
    def sessionguard_wrap_app(self, app):
        return app
"""

MODULE = """
from sessionguard import hookimpl

lit = []


@hookimpl
def sessionguard_settings():
    lit.append(1)
    return {}
"""


def _lit() -> list[object]:
    lit: list[object] = sys.modules["lantern_plugin"].lit
    return lit


def test_an_installed_module_is_a_plugin(install: Install) -> None:
    """An entry point may name a module."""
    install("lantern_plugin", MODULE, "lantern_plugin")
    build()
    assert _lit() == [1]


def test_an_installed_object_is_a_plugin(install: Install) -> None:
    """Or an object in one."""
    install("lantern_plugin", f"{LANTERN}lantern = Lantern()\n", "lantern_plugin:lantern")
    build()
    build()
    assert len(_lit()) == 1


def test_an_installed_class_is_instantiated_once_per_guard(install: Install) -> None:
    """Guards share nothing."""
    install("lantern_plugin", LANTERN, "lantern_plugin:Lantern")
    build()
    build()
    assert len(_lit()) == 2


def test_a_blocked_plugin_is_not_even_imported(install: Install) -> None:
    """`disabled_plugins` is the cure for a plugin that cannot be imported."""
    install("lantern_plugin", "raise RuntimeError('no oil')", "lantern_plugin")
    build(disabled_plugins=["lantern"])
    assert "lantern_plugin" not in sys.modules


def test_a_plugin_can_be_blocked_in_the_environment(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same list as a variable."""
    install("lantern_plugin", "raise RuntimeError('no oil')", "lantern_plugin")
    monkeypatch.setenv("SESSIONGUARD_DISABLED_PLUGINS", "lantern")
    build()
    assert "lantern_plugin" not in sys.modules


def test_an_unknown_name_on_the_block_list_is_refused(install: Install) -> None:
    """A typing error must not leave a plugin running; the error lists what is installed."""
    install("lantern_plugin", LANTERN, "lantern_plugin:Lantern")
    message = error_of(disabled_plugins=["latern"])
    assert "disabled_plugins: there is no plugin 'latern'" in message
    assert all(name in message for name in ("lantern", "openclaw", "stores"))


BROKEN = {
    "a module that is not there": ("", "nowhere", "nowhere"),
    "an attribute that is not there": ("", "lantern_plugin:lamp", "lamp"),
    "a module that fails": ("raise RuntimeError('no oil')", "lantern_plugin", "no oil"),
    "a module that imports what is not there": ("import nowhere", "lantern_plugin", "nowhere"),
}


@pytest.mark.parametrize(("code", "target", "reason"), BROKEN.values(), ids=BROKEN)
def test_an_installed_plugin_that_cannot_be_imported_is_refused(
    install: Install, code: str, target: str, reason: str
) -> None:
    """The error names the plugin, where it should be, the reason, and the way out."""
    install("lantern_plugin", code, target)
    message = error_of()
    assert f"plugin lantern cannot be imported from {target} (" in message
    assert reason in message
    assert "SESSIONGUARD_DISABLED_PLUGINS=lantern" in message


def test_the_same_class_installed_and_handed_over_counts_once(install: Install) -> None:
    """The object handed over, with its own arguments, wins over the installed class."""
    install("lantern_plugin", LANTERN, "lantern_plugin:Lantern")
    module = importlib.import_module("lantern_plugin")
    handed = module.Lantern()
    module.lit.clear()

    build(handed)

    assert module.lit == []


def test_the_same_object_installed_and_handed_over_counts_once(install: Install) -> None:
    """So does the object itself, and the class of an installed object."""
    install("lantern_plugin", f"{LANTERN}lantern = Lantern()\n", "lantern_plugin:lantern")
    module = importlib.import_module("lantern_plugin")
    build(module.lantern)
    assert len(module.lit) == 1
    build(module.Lantern)
    assert len(module.lit) == 2


def test_the_same_module_installed_and_handed_over_counts_once(install: Install) -> None:
    """A module is its own class."""
    install("lantern_plugin", MODULE, "lantern_plugin")
    module = importlib.import_module("lantern_plugin")
    build(module)
    assert module.lit == [1]


def test_two_distributions_cannot_offer_the_same_name(install: Install) -> None:
    """One of them would silently not run; it could be the one that tells users apart."""
    install("lantern_plugin", LANTERN, "lantern_plugin:Lantern")
    install("other_plugin", LANTERN, "other_plugin:Lantern")
    message = error_of()
    assert "plugin lantern is both " in message
    assert "lantern_plugin:Lantern" in message
    assert "other_plugin:Lantern" in message


@pytest.mark.parametrize("entry", ["openclaw", "stores"])
def test_an_installed_plugin_cannot_take_the_name_of_a_built_in_one(install: Install, entry: str) -> None:
    """The error names the one that came too late."""
    install("lantern_plugin", LANTERN, "lantern_plugin:Lantern", entry)
    assert f"plugin {entry}: " in error_of()


def _named(name: str, **hooks: Callable[..., object]) -> object:
    return type(name, (), {hook: hookimpl(function) for hook, function in hooks.items()})()


@pytest.mark.parametrize("name", ["openclaw", "stores", "Lantern"])
def test_plugins_handed_over_may_be_named_alike(name: str) -> None:
    """They are told apart by a number, also from the built-in ones."""

    def claim(self: object) -> Mapping[str, str]:
        return {"SESSIONGUARD_WICK": ""}

    message = error_of(*(_named(name, sessionguard_settings=claim) for _ in range(2)))
    second = {"Lantern": "Lantern and Lantern-2"}.get(name, f"{name}-2 and {name}-3")
    assert f"variable SESSIONGUARD_WICK is claimed by the plugins {second}; disable one" in message


def test_blocking_an_installed_plugin_does_not_block_its_replacement(install: Install) -> None:
    """An object handed over counts, even when it is named like the blocked one."""
    install("lantern_plugin", LANTERN, "lantern_plugin:Lantern")
    seen: list[object] = []

    def look(self: object, settings: GuardSettings, app: ASGIApp) -> ASGIApp:
        seen.append(settings.disabled_plugins)
        return app

    build(_named("lantern", sessionguard_wrap_app=look), disabled_plugins=["lantern"])
    assert seen == [["lantern"]]


def test_the_same_object_twice_is_refused() -> None:
    """A plugin would be asked twice."""
    plugin = _named("Lantern")
    assert "plugin Lantern-2: " in error_of(plugin, plugin)


def test_a_scheme_offered_twice_is_refused() -> None:
    """The error names both plugins."""

    def offer(self: object) -> Mapping[str, object]:
        return {"disk": MemoryStore}

    message = error_of(_named("Lantern", sessionguard_register_stores=offer))
    assert "store scheme disk is claimed by the plugins stores and Lantern; disable one" in message


def test_a_built_in_plugin_can_be_blocked_and_replaced() -> None:
    """Without the built-in stores, the scheme is free."""
    made: list[str] = []

    def make(url: str, settings: GuardSettings) -> MemoryStore:
        made.append(url)
        return MemoryStore()

    def offer(self: object) -> Mapping[str, object]:
        return {"memory": make}

    build(_named("Lantern", sessionguard_register_stores=offer), disabled_plugins="stores")
    assert made == ["memory:"]


def test_a_misspelt_hook_is_refused() -> None:
    """It would never be called; the error says what was meant."""

    class Lantern:
        @hookimpl
        def sessionguard_sesion_key(self, scope: Scope) -> None: ...

    message = error_of(Lantern())
    assert "plugin Lantern: " in message
    assert "sessionguard_sesion_key" in message
    assert "(did you mean sessionguard_session_key?)" in message


def test_an_argument_the_hook_does_not_have_is_refused() -> None:
    """The error names the argument, and gives no false hint."""

    class sessionguard_lantern:  # noqa: N801
        @hookimpl
        def sessionguard_session_key(self, request: object) -> None: ...

    message = error_of(sessionguard_lantern())
    assert "plugin sessionguard_lantern: " in message
    assert "request" in message
    assert "did you mean" not in message


class Unmarked:
    def sessionguard_session_key(self, scope: Scope) -> None: ...


class UnmarkedAndMisspelt:
    def sessionguard_principle(self, scope: Scope) -> None: ...


def test_a_function_that_is_not_marked_is_refused() -> None:
    """A forgotten `@hookimpl` would be a hook that never runs."""
    message = error_of(Unmarked)
    assert message == "plugin Unmarked: sessionguard_session_key is not marked; put @hookimpl above it"


def test_a_function_that_is_neither_marked_nor_a_hook_is_refused() -> None:
    """Both mistakes at once are told at once."""
    message = error_of(UnmarkedAndMisspelt())
    assert "sessionguard_principle is not marked" in message
    assert "(did you mean sessionguard_principal?)" in message


def test_a_hook_may_have_another_name() -> None:
    """`specname` says which hook it is; data whose name begins like a hook is none."""

    class Lantern:
        sessionguard_version = "1.0"

        @hookimpl(specname="sessionguard_session_key")
        def sessionguard_key_by_cookie(self, scope: Scope) -> None: ...

    assert callable(build(Lantern()))


def test_an_async_hook_is_refused() -> None:
    """Hooks decide; the objects they return do the I/O."""

    class Lantern:
        @hookimpl
        async def sessionguard_session_key(self, scope: Scope) -> None: ...

    message = error_of(Lantern())
    assert message == "plugin Lantern: sessionguard_session_key is async; write it with a plain def"


@pytest.mark.parametrize("mark", [hookimpl(wrapper=True), hookimpl(hookwrapper=True)], ids=["new", "old"])
def test_a_wrapper_is_refused(mark: Callable[..., Any]) -> None:
    """Answers are combined as the manual says and in no other way."""

    class Lantern:
        @mark
        def sessionguard_session_key(self, scope: Scope) -> Iterator[None]:
            yield

    message = error_of(Lantern())
    assert message == "plugin Lantern: sessionguard_session_key is a wrapper; only plain hooks are called"


def test_a_name_is_not_a_plugin() -> None:
    """Text is refused with the way to do it."""
    assert error_of("lantern") == "plugins: 'lantern' is text; hand over the plugin object itself"


class Demanding:
    def __init__(self, oil: str) -> None: ...


class Failing:
    def __init__(self) -> None:
        raise RuntimeError("no oil")


class Explosive:
    def __dir__(self) -> list[str]:
        raise RuntimeError("no oil")


@pytest.mark.parametrize(("plugin", "reason"), [(Demanding, "oil"), (Failing, "no oil"), (Explosive, "no oil")])
def test_a_class_that_cannot_be_instantiated_is_named(plugin: type, reason: str) -> None:
    """A class is called without arguments; what it raises then is the reason."""
    message = error_of(plugin)
    assert message.startswith(f"plugin {plugin.__name__}: ")
    assert reason in message


STARTING = ["sessionguard_settings", "sessionguard_register_stores", "sessionguard_wrap_app"]


def _fail(self: object) -> None:
    raise KeyError("no oil")


def _refuse(self: object) -> None:
    raise ConfigurationError("SESSIONGUARD_WICK: 7 is too many")


def _nothing(self: object) -> None: ...


def _number(self: object) -> int:
    return 7


def _coroutine(self: object) -> Awaitable[None]:
    async def late() -> None: ...

    return late()


@pytest.mark.parametrize("hook", STARTING)
def test_a_plugin_that_raises_while_the_guard_is_built_is_named(hook: str) -> None:
    """The start ends with the plugin's name and the reason."""
    message = error_of(_named("Lantern", **{hook: _fail}))
    assert message == "plugin Lantern failed while the guard was built: KeyError('no oil')"


@pytest.mark.parametrize("hook", STARTING)
def test_a_plugin_may_refuse_to_start_in_its_own_words(hook: str) -> None:
    """A ConfigurationError is passed on as it is."""
    assert error_of(_named("Lantern", **{hook: _refuse})) == "SESSIONGUARD_WICK: 7 is too many"


@pytest.mark.parametrize("hook", STARTING)
@pytest.mark.parametrize(
    ("answer", "shown"),
    [(_nothing, "NoneType"), (_number, "int"), (_coroutine, "coroutine")],
    ids=["nothing", "a number", "a coroutine"],
)
def test_a_plugin_that_answers_nonsense_while_the_guard_is_built_is_named(
    hook: str, answer: Callable[..., object], shown: str
) -> None:
    """A forgotten return or a coroutine is found at the start, not at the first request."""
    wanted = "Callable" if hook == "sessionguard_wrap_app" else "Mapping"
    message = error_of(_named("Lantern", **{hook: answer}))
    assert f"plugin Lantern answered {shown} while the guard was built, where it must return a {wanted};" in message


def _factory_of(answer: Callable[..., object]) -> object:
    return _named("Lantern", sessionguard_register_stores=lambda self: {"lantern": answer})


def test_a_store_factory_that_raises_is_named() -> None:
    """By the plugin it belongs to."""

    def make(url: str, settings: GuardSettings) -> None:
        raise KeyError("no oil")

    assert "plugin Lantern failed while the guard was built" in error_of(_factory_of(make), store="lantern:")


def test_a_store_factory_that_returns_no_store_is_named() -> None:
    """A store is a `SessionStore`."""
    message = error_of(_factory_of(lambda url, settings: {}), store="lantern:")
    assert "plugin Lantern answered dict" in message
    assert "a SessionStore" in message


@pytest.mark.slow
def test_importing_the_package_loads_no_plugin(install: Install, tmp_path: Path) -> None:
    """Plugins are looked for when a guard is built, not before."""
    install("lantern_plugin", "print('imported')", "lantern_plugin")
    code = f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r}); import sessionguard; print('done')"
    run = [sys.executable, "-c", code]
    assert subprocess.run(run, capture_output=True, text=True, check=True, cwd=tmp_path).stdout == "done\n"
    code = code.replace("print('done')", "sessionguard.SessionGuard(print, store='memory:')")
    run = [sys.executable, "-c", code]
    assert subprocess.run(run, capture_output=True, text=True, check=True, cwd=tmp_path).stdout == "imported\n"


@pytest.mark.parametrize(
    ("url", "distribution"),
    [
        ("redis://host/0", "sessionguard-redis"),
        ("REDISS://host/0", "sessionguard-redis"),
        ("unix:///run/redis.sock", "sessionguard-redis"),
        ("postgresql://host/name", "sessionguard-postgres"),
        ("postgres://host/name", "sessionguard-postgres"),
    ],
)
def test_a_store_whose_plugin_is_missing_is_named_with_the_command_that_brings_it(url: str, distribution: str) -> None:
    """Ready to be copied."""
    scheme = url.partition(":")[0].lower()
    error = error_of(store=url)

    assert error == f"store: no plugin offers {scheme}: URLs; run: pip install {distribution}"


def test_a_store_whose_plugin_may_be_disabled_is_named_with_both_cures(install: Install) -> None:
    """Installing it again would not help."""
    install("lantern_plugin", LANTERN, "lantern_plugin:Lantern", entry="redis")
    error = error_of(store="redis://host/0", disabled_plugins=["redis"])

    assert error.endswith("run: pip install sessionguard-redis, and keep it out of SESSIONGUARD_DISABLED_PLUGINS=redis")
