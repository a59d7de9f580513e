"""The settings of a turn gate: keyword arguments of `TurnGate`, and `SESSIONGUARD_TURNS_*` in the environment."""

from __future__ import annotations

import dataclasses
import enum
import fnmatch
import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict

from sessionguard import ConfigurationError, kinds

PREFIX = "SESSIONGUARD_TURNS_"


class Mode(str, enum.Enum):
    """How the requests of one conversation take turns."""

    OFF = "off"
    FIRST = "first"
    WAIT = "wait"
    REJECT = "reject"


def _mode(text: str) -> Mode:
    return Mode(text.strip().lower())


def _paths(text: str) -> Sequence[tuple[str, Mode]]:
    pairs = (word.rpartition("=") for word in kinds.words(text))
    return tuple((pattern.strip(), _mode(mode)) for pattern, _, mode in pairs)


def _are_paths(pairs: Sequence[tuple[object, object]]) -> bool:
    return all(
        isinstance(pattern, str) and pattern.startswith(("/", "*")) and isinstance(mode, Mode)
        for pattern, mode in pairs
    )


def _count(least: int, most: int) -> kinds.Kind:
    return kinds.Kind(
        f"a number from {least} to {most}", lambda value: type(value) is int and least <= value <= most, int
    )


MODE = kinds.Kind("off, first, wait or reject", lambda value: isinstance(value, Mode), _mode)
PATHS = kinds.Kind("path patterns with a mode, such as /v1/*=wait,/health=off", _are_paths, _paths)


def _setting(default: Any, kind: kinds.Kind, line: str) -> Any:
    return dataclasses.field(default=default, metadata={"kind": kind, "line": line})


class TurnOptions(TypedDict, total=False):
    """The keyword arguments of `TurnGate`; `TurnSettings` says what they mean."""

    mode: str | Mode
    paths: str | Sequence[tuple[str, Mode]]
    wait_timeout: float
    queue_limit: int
    total_limit: int
    lease_time: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class TurnSettings:
    """The effective settings of one gate. Raises ConfigurationError that names the setting and the cure."""

    mode: Mode = _setting(Mode.WAIT, MODE, "how requests take turns: off, first, wait or reject")
    paths: Sequence[tuple[str, Mode]] = _setting((), PATHS, "path patterns with a mode of their own; the first counts")
    wait_timeout: float = _setting(600.0, kinds.seconds(0.05, 3600), "seconds a request is held at most")
    queue_limit: int = _setting(16, _count(0, 10_000), "how many requests of one conversation may wait")
    total_limit: int = _setting(1000, _count(0, 1_000_000), "how many requests of one process may wait")
    lease_time: float = _setting(
        15.0, kinds.seconds(0.5, 3600), "seconds after which the turn of a worker that was killed is over"
    )

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            field.metadata["kind"].check(getattr(self, field.name), field.name)

    @classmethod
    def load(
        cls, options: Mapping[str, Any], environ: Mapping[str, str], default_mode: str | None = None
    ) -> TurnSettings:
        """Combine arguments and environment; an argument wins, and its text is read like that of a variable.

        `default_mode` is what the application prefers where neither says anything.
        """
        fields = {field.name: field for field in dataclasses.fields(cls)}
        for name in options:
            if name not in fields:
                raise ConfigurationError(f"unknown argument {name} of a turn gate; known are {', '.join(fields)}")
        variables = {PREFIX + name.upper(): field for name, field in fields.items()}
        values = {
            field.name: field.metadata["kind"].parse(environ[variable], variable)
            for variable, field in variables.items()
            if variable in environ
        }
        if default_mode is not None:
            values.setdefault("mode", Mode(default_mode))
        for name, value in options.items():
            values[name] = fields[name].metadata["kind"].parse(value, name) if isinstance(value, str) else value
        return cls(**values)

    def mode_of(self, path: str) -> Mode:
        """Return the mode of the first pattern that matches, else the mode of the gate."""
        return next((mode for matches, mode in self._matchers if matches(path)), self.mode)

    @functools.cached_property
    def _matchers(self) -> Sequence[tuple[Callable[[str], object], Mode]]:
        return [(re.compile(fnmatch.translate(pattern)).match, mode) for pattern, mode in self.paths]

    @property
    def modes(self) -> frozenset[Mode]:
        """Every mode that some request may have by these settings."""
        return frozenset([self.mode, *(mode for _, mode in self.paths)])


VARIABLES = {PREFIX + field.name.upper(): field.metadata["line"] for field in dataclasses.fields(TurnSettings)}
