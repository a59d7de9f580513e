"""The settings: their legal values, their defaults, and the environment that may hold them.

Every field of `GuardSettings` is a keyword argument of `SessionGuard` and, as `SESSIONGUARD_<NAME>`, a variable of the
environment. An argument wins, even when it is None. Text is read the same way in both places.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Literal, TypedDict

from sessionguard.errors import ConfigurationError
from sessionguard.freshness import GRAMMAR, UNITS, ResetPolicy
from sessionguard.keys import agent_id
from sessionguard.store import REACH, Coordination, SessionStore

PREFIX = "SESSIONGUARD_"
APP_VARIABLE = "SESSIONGUARD_APP"
SESSION_ID_HEADER = "x-openclaw-session-id"

_HOUR = 3600.0
_SHORTEST_RETENTION = 2 * _HOUR
_HEADER_NAME = re.compile(r"[a-z0-9!#$%&'*+.^`|~-]+")
_NAMESPACE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd]?)")
_SWITCH = {"on": True, "true": True, "1": True, "off": False, "false": False, "0": False}


class GuardOptions(TypedDict, total=False):
    """The keyword arguments of `SessionGuard`; `GuardSettings` says what they mean."""

    store: str | SessionStore
    namespace: str
    header: str
    aliases: Sequence[str]
    default_agent: str
    max_key_length: int
    key_secret: str | None
    require_key: Sequence[str]
    exclude_paths: Sequence[str]
    reset: str | ResetPolicy
    touch_interval: float
    reserve_timeout: float
    on_store_error: Literal["closed", "open"]
    forward_header: str | None
    status_header: bool
    expose_session_id: bool
    retention: float | str | None
    coordination: Coordination | None
    plugins: Sequence[object]
    disabled_plugins: Sequence[str]


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _header(text: str) -> str:
    return text.strip().lower()


def _headers(text: str) -> tuple[str, ...]:
    return _words(text.lower())


def _header_or_none(text: str) -> str | None:
    return None if _header(text) in ("", "none") else _header(text)


def _switch(text: str) -> bool:
    return _SWITCH[text.strip().lower()]


def _seconds(text: str) -> float:
    if not (match := _DURATION.fullmatch(text.strip())):
        raise ValueError(text)
    return float(match[1]) * UNITS[match[2] or "s"] / 1000


def _seconds_or_none(text: str) -> float | None:
    return None if text.strip().lower() in ("", "none") else _seconds(text)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_header(value: object) -> bool:
    return isinstance(value, str) and _HEADER_NAME.fullmatch(value) is not None


def _is_agent(value: str) -> bool:
    return agent_id(value) == value


def _are_paths(value: Sequence[str]) -> bool:
    return all(isinstance(path, str) and path.startswith(("/", "*")) for path in value)


def _setting(default: Any, expects: str, legal: Callable[[Any], object], read: Callable[[str], Any] = str.strip) -> Any:
    return dataclasses.field(default=default, metadata={"expects": expects, "legal": legal, "read": read})


@dataclasses.dataclass(frozen=True, kw_only=True)
class GuardSettings:
    """The effective settings of one guard. Raises ConfigurationError that names the setting and the cure."""

    store: str | SessionStore = _setting(
        "disk:",
        "a store URL such as disk:///var/lib/app/sessions, or a store object",
        lambda value: isinstance(value, SessionStore) or ":" in value,
    )
    """Where conversations are kept: a URL, or a `SessionStore`."""

    namespace: str = _setting(
        "default", "1 to 64 letters, digits, '_', '-' and '.', not beginning with '.'", _NAMESPACE.fullmatch
    )
    """Keeps applications that share a store apart."""

    header: str = _setting("x-openclaw-session-key", "a header name without '_'", _is_header, _header)
    """The request header that names the conversation."""

    aliases: Sequence[str] = _setting(
        (), "header names without '_', separated by commas", lambda value: all(map(_is_header, value)), _headers
    )
    """Further headers to look at, in this order, when `header` is absent."""

    default_agent: str = _setting("main", "an agent id: 1 to 64 of a-z, 0-9, '_' and '-'", _is_agent)
    """The agent of a key that names none."""

    max_key_length: int = _setting(
        256, "a number of bytes from 1 to 4096", lambda value: type(value) is int and 1 <= value <= 4096, int
    )
    """Longer keys are refused; in bytes, as sent."""

    key_secret: str | None = _setting(
        None, "a secret of at least 16 characters", lambda value: value is None or len(value) >= 16, str
    )
    """Store HMACs instead of keys, made with this secret."""

    require_key: Sequence[str] = _setting((), "path patterns such as /v1/*, separated by commas", _are_paths, _words)
    """Paths that refuse requests without a key."""

    exclude_paths: Sequence[str] = _setting(
        (), "path patterns such as /health, separated by commas", _are_paths, _words
    )
    """Paths on which no key is looked for."""

    reset: ResetPolicy = _setting(
        ResetPolicy(), GRAMMAR, lambda value: isinstance(value, ResetPolicy), ResetPolicy.parse
    )
    """When a conversation starts anew."""

    touch_interval: float = _setting(
        60.0, "seconds from 1 to 3600", lambda value: _is_number(value) and 1 <= value <= _HOUR, _seconds
    )
    """How often, in seconds, signs of life are written; a crash loses at most this much of them."""

    reserve_timeout: float = _setting(
        2.0, "seconds from 0.1 to 60", lambda value: _is_number(value) and 0.1 <= value <= 60, _seconds
    )
    """How long, in seconds, a request may wait for the store before it is answered 503."""

    on_store_error: str = _setting("closed", "closed or open", ("closed", "open").__contains__)
    """`closed`: answer 503 when the store is out of reach. `open`: go on with an id nobody else will get."""

    forward_header: str | None = _setting(
        SESSION_ID_HEADER,
        "a header name without '_', or none",
        lambda value: value is None or _is_header(value),
        _header_or_none,
    )
    """The request header that carries the id to the application; None for none."""

    status_header: bool = _setting(True, "on or off", lambda value: isinstance(value, bool), _switch)
    """Whether responses say `x-sessionguard-status`."""

    expose_session_id: bool = _setting(False, "on or off", lambda value: isinstance(value, bool), _switch)
    """Whether responses carry the id itself, as `x-openclaw-session-id`; an id can be a capability."""

    retention: float | None = _setting(
        None,
        "seconds (or 30d, 12h) of at least two hours, or none",
        lambda value: value is None or (_is_number(value) and value >= _SHORTEST_RETENTION),
        _seconds_or_none,
    )
    """Rows unused for longer than this many seconds may be removed by the store; None keeps everything."""

    coordination: Coordination | None = _setting(None, "process, host or cluster", (None, *REACH).__contains__)
    """How far the deployment reaches; a store that cannot coordinate that far is refused."""

    plugins: Sequence[object] = _setting((), "plugin objects", lambda value: not isinstance(value, str), _words)
    """Plugins beside the installed ones: objects, modules, or classes to be instantiated."""

    disabled_plugins: Sequence[str] = _setting(
        (), "plugin names separated by commas", lambda value: all(isinstance(name, str) for name in value), _words
    )
    """Names of plugins that are left out."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            _check(field, getattr(self, field.name), field.name)
        if len({self.header, *self.aliases}) <= len(self.aliases) or self.forward_header in (
            self.header,
            *self.aliases,
        ):
            raise ConfigurationError("header, aliases and forward_header must all be different names")
        shortest = self.reset.shortest_idle
        if shortest is not None and shortest < 2000 * self.touch_interval:
            raise ConfigurationError(
                f"reset: an idle limit of {shortest / 1000:g} s is below twice touch_interval"
                f" ({self.touch_interval:g} s); lengthen it or set SESSIONGUARD_TOUCH_INTERVAL lower"
            )

    @classmethod
    def load(
        cls, options: Mapping[str, Any], environ: Mapping[str, str], declared: Collection[str] = ()
    ) -> GuardSettings:
        """Combine arguments and environment; `declared` are the variables that plugins own."""
        fields = {field.name: field for field in dataclasses.fields(cls)}
        variables = {PREFIX + name.upper(): field for name, field in fields.items() if name != "plugins"}
        _known(options, fields, "argument")
        _known([name for name in environ if name.startswith(PREFIX)], {*variables, *declared, APP_VARIABLE}, "variable")
        values = {field.name: _read(field, environ[name], name) for name, field in variables.items() if name in environ}
        for name, value in options.items():
            values[name] = _read(fields[name], value, name) if isinstance(value, str) else value
        return cls(**values)


def disabled_plugins(options: Mapping[str, Any], environ: Mapping[str, str]) -> Sequence[str]:
    """Return the names to leave out; needed before the other settings, because plugins declare variables."""
    named = options.get("disabled_plugins", environ.get(PREFIX + "DISABLED_PLUGINS", ""))
    return _words(named) if isinstance(named, str) else named


def _known(names: Collection[str], known: Collection[str], what: str) -> None:
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(known))}"
            raise ConfigurationError(f"unknown sessionguard {what} {name}; {hint}")


def _read(field: dataclasses.Field[Any], text: str, where: str) -> Any:
    try:
        value = field.metadata["read"](text)
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error}") from None
    except (ValueError, KeyError):
        raise _illegal(field, text, where) from None
    _check(field, value, where)
    return value


def _check(field: dataclasses.Field[Any], value: object, where: str) -> None:
    try:
        legal = field.metadata["legal"](value)
    except Exception:
        legal = False
    if not legal:
        raise _illegal(field, value, where)


def _illegal(field: dataclasses.Field[Any], value: object, where: str) -> ConfigurationError:
    shown = "(hidden)" if field.name == "key_secret" else repr(value)
    return ConfigurationError(f"{where}: {shown} is not legal; expected {field.metadata['expects']}")
