"""The settings: their legal values, their defaults, and the environment that may hold them.

Every field of `GuardSettings` is a keyword argument of `SessionGuard` and, as `SESSIONGUARD_<NAME>`, a variable of the
environment. An argument wins, even when it is None. Text is read the same way in both places.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, TypedDict

from sessionguard import kinds
from sessionguard.errors import ConfigurationError
from sessionguard.freshness import GRAMMAR, ResetPolicy
from sessionguard.keys import agent_id
from sessionguard.store import REACH, Coordination, SessionStore

PREFIX = "SESSIONGUARD_"
APP_VARIABLE = "SESSIONGUARD_APP"
SESSION_ID_HEADER = "x-openclaw-session-id"

HOUR = 3600.0
CENTURY = 100 * 366 * 24 * HOUR

AGENT = kinds.Kind("an agent id: 1 to 64 of a-z, 0-9, '_' and '-'", lambda value: agent_id(value) == value)
COORDINATION = kinds.choice(*REACH)._replace(legal=(None, *REACH).__contains__)
NAMESPACE = kinds.Kind(
    "1 to 64 letters, digits, '_', '-' and '.', not beginning with '.'",
    re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}").fullmatch,
)
RESET = kinds.Kind(GRAMMAR, lambda value: isinstance(value, ResetPolicy), ResetPolicy.parse)
IDLE = kinds.seconds(2 * HOUR, CENTURY)._replace(expects="seconds (or 30d, 12h) of at least two hours")
RETENTION = kinds.optional(IDLE)
STORE = kinds.Kind(
    "a store URL such as disk:///var/lib/app/sessions, or a store object",
    lambda value: isinstance(value, SessionStore) or ":" in value,
)


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


def _setting(default: Any, kind: kinds.Kind) -> Any:
    return dataclasses.field(default=default, repr=not kind.secret, metadata={"kind": kind})


@dataclasses.dataclass(frozen=True, kw_only=True)
class GuardSettings:
    """The effective settings of one guard. Raises ConfigurationError that names the setting and the cure."""

    store: str | SessionStore = _setting("disk:", STORE)
    """Where conversations are kept: a URL, or a `SessionStore`."""

    namespace: str = _setting("default", NAMESPACE)
    """Keeps applications that share a store apart."""

    header: str = _setting("x-openclaw-session-key", kinds.HEADER)
    """The request header that names the conversation."""

    aliases: Sequence[str] = _setting((), kinds.HEADERS)
    """Further headers to look at, in this order, when `header` is absent."""

    default_agent: str = _setting("main", AGENT)
    """The agent of a key that names none."""

    max_key_length: int = _setting(256, kinds.BYTES)
    """Longer keys are refused; in bytes, as sent."""

    key_secret: str | None = _setting(None, kinds.SECRET)
    """Store HMACs instead of keys, made with this secret."""

    require_key: Sequence[str] = _setting((), kinds.PATHS)
    """Paths that refuse requests without a key."""

    exclude_paths: Sequence[str] = _setting((), kinds.PATHS)
    """Paths on which no key is looked for."""

    reset: ResetPolicy = _setting(ResetPolicy(), RESET)
    """When a conversation starts anew."""

    touch_interval: float = _setting(60.0, kinds.seconds(1, HOUR))
    """How often, in seconds, signs of life are written; a crash loses at most this much of them."""

    reserve_timeout: float = _setting(2.0, kinds.seconds(0.1, 60))
    """How long, in seconds, a request may wait for the store before it is answered 503."""

    on_store_error: str = _setting("closed", kinds.choice("closed", "open"))
    """`closed`: answer 503 when the store is out of reach. `open`: go on with an id nobody else will get."""

    forward_header: str | None = _setting(SESSION_ID_HEADER, kinds.optional(kinds.HEADER))
    """The request header that carries the id to the application; None for none."""

    status_header: bool = _setting(True, kinds.SWITCH)
    """Whether responses say `x-sessionguard-status`."""

    expose_session_id: bool = _setting(False, kinds.SWITCH)
    """Whether responses carry the id itself, as `x-openclaw-session-id`; an id can be a capability."""

    retention: float | None = _setting(None, RETENTION)
    """Rows unused for longer than this many seconds may be removed by the store; None keeps everything."""

    coordination: Coordination | None = _setting(None, COORDINATION)
    """How far the deployment reaches; a store that cannot coordinate that far is refused."""

    plugins: Sequence[object] = _setting((), kinds.OBJECTS)
    """Plugins beside the installed ones: objects, modules, or classes to be instantiated."""

    disabled_plugins: Sequence[str] = _setting((), kinds.NAMES)
    """Names of plugins that are left out."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            field.metadata["kind"].check(getattr(self, field.name), field.name)
        names = [name.lower() for name in (self.header, *self.aliases, self.forward_header or "")]
        if len(set(names)) < len(names):
            raise ConfigurationError(
                f"header, aliases and forward_header must all differ: {', '.join(filter(None, names))}"
            )
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
        values = {
            field.name: field.metadata["kind"].parse(environ[name], name)
            for name, field in variables.items()
            if name in environ
        }
        for name, value in options.items():
            values[name] = fields[name].metadata["kind"].parse(value, name) if isinstance(value, str) else value
        return cls(**values)


def disabled_plugins(options: Mapping[str, Any], environ: Mapping[str, str]) -> Sequence[str]:
    """Return the names to leave out; needed before the other settings, because plugins declare variables."""
    named = options.get("disabled_plugins", environ.get(PREFIX + "DISABLED_PLUGINS", ""))
    return kinds.words(named) if isinstance(named, str) else named


def _known(names: Collection[str], known: Collection[str], what: str) -> None:
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(known))}"
            cure = "" if what == "argument" else ". If a plugin reads it, is that plugin installed and not disabled?"
            raise ConfigurationError(f"unknown sessionguard {what} {name}; {hint}{cure}")
