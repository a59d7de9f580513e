"""Section 8 of the design as tables: every setting, as an argument and from the environment."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest

from sessionguard import ConfigurationError, GuardSettings, ResetPolicy, ResetRule, SessionGuard, SessionStore, hookimpl
from sessionguard.asgi import Receive, Scope, Send
from sessionguard.settings import GuardOptions, disabled_plugins
from sessionguard.stores.memory import MemoryStore

pytestmark = pytest.mark.once

SECRET = "an old friend's name"
WEAK_SECRET = "hunter2"


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError("no request is sent here")


class Settings:
    """A plugin that keeps the settings of the guard it is in."""

    seen: GuardSettings

    @hookimpl
    def sessionguard_wrap_app(self, app: Any, settings: GuardSettings) -> Any:
        self.seen = settings
        return app


def effective(**options: Any) -> GuardSettings:
    """What a guard built with these arguments, in this environment, goes by."""
    plugin = Settings()
    SessionGuard(app, **{**options, "plugins": [plugin, *options.get("plugins", ())]})
    return plugin.seen


STORE = MemoryStore()
POLICY = ResetPolicy(ResetRule(4, 3_600_000))
ARGUMENTS = [
    ("store", "memory:", "memory:"),
    ("store", STORE, STORE),
    ("namespace", "team.a", "team.a"),
    ("header", "X-Chat-Id", "x-chat-id"),
    ("aliases", ["x-one", "x-two"], ["x-one", "x-two"]),
    ("aliases", "X-One, x-two", ("x-one", "x-two")),
    ("default_agent", "ops", "ops"),
    ("max_key_length", 4096, 4096),
    ("key_secret", SECRET, SECRET),
    ("key_secret", None, None),
    ("require_key", ["/v1/*"], ["/v1/*"]),
    ("exclude_paths", ("/health",), ("/health",)),
    ("reset", "daily@4,idle=60m", POLICY),
    ("reset", POLICY, POLICY),
    ("touch_interval", 30, 30),
    ("touch_interval", "2m", 120.0),
    ("reserve_timeout", 0.5, 0.5),
    ("on_store_error", "open", "open"),
    ("forward_header", "X-Chat", "x-chat"),
    ("forward_header", None, None),
    ("status_header", False, False),
    ("expose_session_id", True, True),
    ("retention", 7200, 7200),
    ("retention", "30d", 30 * 86400.0),
    ("retention", None, None),
    ("coordination", "process", "process"),
    ("coordination", None, None),
    ("disabled_plugins", ["openclaw"], ["openclaw"]),
    ("disabled_plugins", "openclaw", ("openclaw",)),
]


@pytest.mark.parametrize(("name", "value", "expected"), ARGUMENTS)
def test_a_setting_can_be_an_argument(name: str, value: object, expected: object) -> None:
    """Every field of `GuardSettings` is a keyword argument of `SessionGuard`."""
    settings = effective(**{"store": "memory:", name: value})
    assert expected == getattr(settings, name)


def test_plugins_are_an_argument() -> None:
    """Objects, kept as they were handed over."""
    plugin = Settings()
    SessionGuard(app, store="memory:", plugins=[plugin])
    assert plugin.seen.plugins == [plugin]


ENVIRONMENT = [
    ("store", " memory: ", "memory:"),
    ("namespace", "team-a", "team-a"),
    ("header", " X-Chat-Id ", "x-chat-id"),
    ("aliases", "X-One, x-two,", ("x-one", "x-two")),
    ("aliases", "", ()),
    ("default_agent", "ops", "ops"),
    ("max_key_length", " 64 ", 64),
    ("key_secret", SECRET, SECRET),
    ("require_key", "/v1/*, /v2/*", ("/v1/*", "/v2/*")),
    ("exclude_paths", "/health,*.ico", ("/health", "*.ico")),
    ("reset", "daily@4,idle=60m", POLICY),
    ("touch_interval", "90", 90.0),
    ("touch_interval", "1.5 m", 90.0),
    ("reserve_timeout", "0.5", 0.5),
    ("on_store_error", "open", "open"),
    ("forward_header", "X-Chat", "x-chat"),
    ("forward_header", "none", None),
    ("forward_header", "", None),
    ("status_header", "off", False),
    ("status_header", "FALSE", False),
    ("status_header", "0", False),
    ("expose_session_id", "on", True),
    ("expose_session_id", "True", True),
    ("expose_session_id", "1", True),
    ("retention", "12h", 43200.0),
    ("retention", "None", None),
    ("retention", "", None),
    ("coordination", "process", "process"),
    ("disabled_plugins", "openclaw, ", ("openclaw",)),
]


@pytest.mark.parametrize(("name", "text", "expected"), ENVIRONMENT)
def test_a_setting_can_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, expected: object
) -> None:
    """`SESSIONGUARD_<NAME>` for every field."""
    monkeypatch.setenv("SESSIONGUARD_STORE", "memory:")
    monkeypatch.setenv(f"SESSIONGUARD_{name.upper()}", text)
    assert expected == getattr(effective(), name)


FIELDS = {field.name for field in dataclasses.fields(GuardSettings)}


def test_the_tables_hold_every_setting() -> None:
    """A new field needs a row in each of these tables; `plugins` are objects and have no variable."""
    assert {name for name, *_ in ARGUMENTS} | {"plugins"} == FIELDS
    assert {name for name, *_ in ENVIRONMENT} | {"plugins"} == FIELDS
    assert {name for name, *_ in ILLEGAL} == FIELDS


def test_the_typed_arguments_are_the_settings() -> None:
    """What a type checker accepts is what the guard accepts."""
    assert set(GuardOptions.__annotations__) == FIELDS


DEFAULTS: dict[str, Any] = {
    "store": "disk:",
    "namespace": "default",
    "header": "x-openclaw-session-key",
    "aliases": (),
    "default_agent": "main",
    "max_key_length": 256,
    "key_secret": None,
    "require_key": (),
    "exclude_paths": (),
    "reset": ResetPolicy(),
    "touch_interval": 60.0,
    "reserve_timeout": 2.0,
    "on_store_error": "closed",
    "forward_header": "x-openclaw-session-id",
    "status_header": True,
    "expose_session_id": False,
    "retention": None,
    "coordination": None,
    "plugins": (),
    "disabled_plugins": (),
}


def test_the_defaults_are_those_of_the_design() -> None:
    """Nothing set: the table of section 8."""
    assert {field.name: field.default for field in dataclasses.fields(GuardSettings)} == DEFAULTS
    assert GuardSettings() == GuardSettings(**DEFAULTS)


@pytest.mark.parametrize(
    ("name", "text", "argument"),
    [
        ("namespace", "environment", "argument"),
        ("key_secret", SECRET, None),
        ("retention", "30d", None),
        ("forward_header", "x-chat", None),
        ("coordination", "cluster", None),
        ("status_header", "off", True),
        ("aliases", "x-one", ()),
        ("disabled_plugins", "openclaw", ()),
    ],
)
def test_an_argument_wins_over_the_environment(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, argument: object
) -> None:
    """Even when the argument is None or empty."""
    monkeypatch.setenv(f"SESSIONGUARD_{name.upper()}", text)
    assert argument == getattr(effective(**{"store": "memory:", name: argument}), name)


def test_a_guard_can_be_built_from_the_environment_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some hosts construct the class with the application and nothing else."""
    monkeypatch.setenv("SESSIONGUARD_STORE", "memory:")
    monkeypatch.setenv("SESSIONGUARD_RESET", "idle=1h")
    assert callable(SessionGuard(app))


def test_a_guard_can_be_built_with_nothing_at_all() -> None:
    """The defaults are enough; building opens no store."""
    assert callable(SessionGuard(app))


ILLEGAL: list[tuple[str, object, str]] = [
    ("store", "", "a store URL such as disk:///var/lib/app/sessions"),
    ("store", "/var/lib/sessions", "a store URL"),
    ("store", 7, "or a store object"),
    ("store", None, "or a store object"),
    ("namespace", "", "1 to 64 letters"),
    ("namespace", ".hidden", "not beginning with '.'"),
    ("namespace", "a/b", "1 to 64 letters"),
    ("namespace", "x" * 65, "1 to 64 letters"),
    ("namespace", None, "1 to 64 letters"),
    ("header", "x_chat", "a header name without '_'"),
    ("header", "x chat", "a header name"),
    ("header", "caf\xe9", "a header name"),
    ("header", "", "a header name"),
    ("header", b"x-chat", "a header name"),
    ("aliases", "x-one x-two", "separated by commas"),
    ("aliases", ["x_one"], "header names without '_'"),
    ("aliases", [7], "header names"),
    ("aliases", None, "header names"),
    ("default_agent", "Main", "1 to 64 of a-z"),
    ("default_agent", "-", "1 to 64 of a-z"),
    ("default_agent", None, "1 to 64 of a-z"),
    ("max_key_length", "many", "from 1 to 4096"),
    ("max_key_length", 0, "from 1 to 4096"),
    ("max_key_length", 4097, "from 1 to 4096"),
    ("max_key_length", True, "from 1 to 4096"),
    ("max_key_length", 25.6, "from 1 to 4096"),
    ("key_secret", WEAK_SECRET, "at least 16 characters"),
    ("key_secret", [WEAK_SECRET] * 16, "at least 16 characters"),
    ("key_secret", 7, "at least 16 characters"),
    ("require_key", "v1", "path patterns such as /v1/*"),
    ("require_key", [7], "path patterns"),
    ("require_key", None, "path patterns"),
    ("exclude_paths", "health", "path patterns such as /v1/*"),
    ("exclude_paths", 7, "path patterns"),
    ("reset", "sometimes", "daily@4,idle=60m"),
    ("reset", "idle=0m", "idle=60m"),
    ("reset", ResetRule(4), "daily@4,idle=60m"),
    ("reset", None, "daily@4,idle=60m"),
    ("touch_interval", "soon", "seconds from 1 to 3600"),
    ("touch_interval", "2h", "seconds from 1 to 3600"),
    ("touch_interval", 0.5, "seconds from 1 to 3600"),
    ("touch_interval", True, "seconds from 1 to 3600"),
    ("reserve_timeout", 0, "seconds from 0.1 to 60"),
    ("reserve_timeout", 61, "seconds from 0.1 to 60"),
    ("reserve_timeout", float("nan"), "seconds from 0.1 to 60"),
    ("reserve_timeout", "-1", "seconds from 0.1 to 60"),
    ("on_store_error", "ajar", "closed or open"),
    ("on_store_error", None, "closed or open"),
    ("forward_header", "x_chat", "or none"),
    ("forward_header", 7, "or none"),
    ("status_header", "maybe", "on or off"),
    ("status_header", None, "on or off"),
    ("expose_session_id", "", "on or off"),
    ("expose_session_id", 1, "on or off"),
    ("retention", "1h", "at least two hours"),
    ("retention", "30 days", "or none"),
    ("retention", float("inf"), "at least two hours"),
    ("coordination", "galaxy", "process, host or cluster"),
    ("coordination", "", "process, host or cluster"),
    ("plugins", "myplugin", "a list of plugin objects"),
    ("plugins", None, "a list of plugin objects"),
    ("plugins", 7, "a list of plugin objects"),
    ("disabled_plugins", None, "plugin names separated by commas"),
    ("disabled_plugins", [7], "plugin names"),
]


def _assert_explained(message: str, where: str, value: object, expected: str) -> None:
    assert f"{where}: " in message
    assert expected in message
    if where.lower().endswith("key_secret"):
        assert WEAK_SECRET not in message
        assert "(hidden)" in message
    elif value != "idle=0m":
        assert repr(value) in message


@pytest.mark.parametrize(("name", "value", "expected"), ILLEGAL)
def test_an_illegal_argument_is_explained(name: str, value: object, expected: str) -> None:
    """The error names the argument, the value (never a secret), and what is legal."""
    options: dict[str, Any] = {"store": "memory:", name: value}
    with pytest.raises(ConfigurationError) as caught:
        SessionGuard(app, **options)
    _assert_explained(str(caught.value), name, value, expected)


@pytest.mark.parametrize(("name", "text", "expected"), [row for row in ILLEGAL if isinstance(row[1], str)])
def test_an_illegal_variable_is_explained(monkeypatch: pytest.MonkeyPatch, name: str, text: str, expected: str) -> None:
    """The error names the variable; `plugins` is not one."""
    variable = f"SESSIONGUARD_{name.upper()}"
    monkeypatch.setenv("SESSIONGUARD_STORE", "memory:")
    monkeypatch.setenv(variable, text)
    with pytest.raises(ConfigurationError) as caught:
        SessionGuard(app)
    if name == "plugins":
        assert f"unknown sessionguard variable {variable}" in str(caught.value)
    else:
        _assert_explained(str(caught.value), variable, text, expected)


@pytest.mark.parametrize(
    "options",
    [
        {"aliases": ["x-openclaw-session-key"]},
        {"aliases": ["X-OpenClaw-Session-Key"]},
        {"aliases": ["x-one", "x-one"]},
        {"forward_header": "x-openclaw-session-key"},
        {"header": "x-openclaw-session-id"},
        {"aliases": ["x-one"], "forward_header": "x-one"},
    ],
    ids=str,
)
def test_a_header_has_one_meaning(options: dict[str, Any]) -> None:
    """A name cannot be read twice, nor read from the client and forwarded to the application."""
    with pytest.raises(ConfigurationError, match=r"header, aliases and forward_header must all differ: .*x-"):
        SessionGuard(app, store="memory:", **options)


def test_a_secret_is_not_in_the_repr_of_the_settings() -> None:
    """Settings go to plugins, and may end up in logs."""
    assert SECRET not in repr(GuardSettings(key_secret=SECRET))


@pytest.mark.parametrize(
    ("variable", "hint"),
    [
        ("SESSIONGUARD_STOER", "did you mean SESSIONGUARD_STORE?"),
        ("SESSIONGUARD_ALIAS", "did you mean SESSIONGUARD_ALIASES?"),
        ("SESSIONGUARD_XYZZY", "known are SESSIONGUARD_ALIASES, SESSIONGUARD_APP,"),
    ],
)
def test_an_unknown_variable_is_refused(monkeypatch: pytest.MonkeyPatch, variable: str, hint: str) -> None:
    """A typing error in the environment stops the start and says what was meant."""
    monkeypatch.setenv(variable, "x")
    with pytest.raises(ConfigurationError) as caught:
        SessionGuard(app, store="memory:")
    assert f"unknown sessionguard variable {variable}; {hint}" in str(caught.value)


@pytest.mark.parametrize(("argument", "hint"), [("stroe", "did you mean store?"), ("qqq", "known are aliases, ")])
def test_an_unknown_argument_is_refused(argument: str, hint: str) -> None:
    """So does one in the code."""
    options: dict[str, Any] = {argument: "memory:"}
    with pytest.raises(ConfigurationError) as caught:
        SessionGuard(app, **options)
    assert f"unknown sessionguard argument {argument}; {hint}" in str(caught.value)


def test_other_variables_are_nobody_s_business(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only names that begin with the prefix are looked at."""
    monkeypatch.setenv("SESSION_GUARD_STORE", "x")
    monkeypatch.setenv("MY_SESSIONGUARD_STORE", "x")
    assert effective(store="memory:").store == "memory:"


class Owner:
    """A plugin that reads a variable of its own."""

    @hookimpl
    def sessionguard_settings(self) -> Mapping[str, str]:
        return {"SESSIONGUARD_LANTERN": "how bright"}


def test_a_variable_that_a_plugin_declares_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plugins name what they read."""
    monkeypatch.setenv("SESSIONGUARD_LANTERN", "bright")
    SessionGuard(app, store="memory:", plugins=[Owner()])
    with pytest.raises(ConfigurationError, match="SESSIONGUARD_LANTERN"):
        SessionGuard(app, store="memory:")


def test_a_misspelt_variable_of_a_plugin_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Declared names take part in the hint."""
    monkeypatch.setenv("SESSIONGUARD_LANTREN", "bright")
    with pytest.raises(ConfigurationError, match=r"did you mean SESSIONGUARD_LANTERN\?"):
        SessionGuard(app, store="memory:", plugins=[Owner()])


def test_the_factory_s_own_variable_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """`SESSIONGUARD_APP` belongs to `sessionguard.serving` and may stay set."""
    monkeypatch.setenv("SESSIONGUARD_APP", "module:app")
    assert callable(SessionGuard(app, store="memory:"))


@pytest.mark.parametrize(
    ("store", "coordination"), [("memory:", "host"), ("memory:", "cluster"), ("disk:", "cluster"), (STORE, "host")]
)
def test_a_store_that_reaches_too_short_is_refused(store: str | SessionStore, coordination: Any) -> None:
    """A deployment that needs more than the store can coordinate does not start."""
    with pytest.raises(ConfigurationError, match=f"SESSIONGUARD_COORDINATION asks for {coordination}"):
        SessionGuard(app, store=store, coordination=coordination)


@pytest.mark.parametrize(("store", "coordination"), [("memory:", "process"), ("disk:", "process"), ("disk:", "host")])
def test_a_store_that_reaches_far_enough_is_accepted(store: str, coordination: Any) -> None:
    """Reaching further than needed is fine."""
    assert effective(store=store, coordination=coordination).coordination == coordination


@pytest.mark.parametrize("url", ["qedis://host/0", "/x:", "C:\\sessions"])
def test_an_unknown_store_scheme_names_the_known_ones(url: str) -> None:
    """And asks whether the plugin is installed."""
    with pytest.raises(ConfigurationError, match=r"known are .*disk.*memory.*installed\?"):
        SessionGuard(app, store=url)


def test_the_password_of_a_store_is_not_in_the_error() -> None:
    """An unknown scheme is named without the rest of the URL."""
    with pytest.raises(ConfigurationError) as caught:
        SessionGuard(app, store="qedis://user:hunter2@host/0")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "environ", "expected"),
    [
        ({}, {}, ()),
        ({}, {"SESSIONGUARD_DISABLED_PLUGINS": "a, b"}, ("a", "b")),
        ({"disabled_plugins": "c"}, {"SESSIONGUARD_DISABLED_PLUGINS": "a"}, ("c",)),
        ({"disabled_plugins": ["c", "d"]}, {}, ["c", "d"]),
    ],
)
def test_the_block_list_is_read_first(options: dict[str, Any], environ: dict[str, str], expected: object) -> None:
    """It is needed before plugins can declare variables; it follows the same rules as the other settings."""
    assert expected == disabled_plugins(options, environ)
