"""The kinds of values a setting can have: how its text is read, what is legal, and how to say what is expected."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from sessionguard.durations import milliseconds
from sessionguard.errors import ConfigurationError

_HEADER_NAME = re.compile(r"[a-z0-9!#$%&'*+.^`|~-]+", re.ASCII | re.IGNORECASE)
_SWITCH = {"on": True, "true": True, "1": True, "off": False, "false": False, "0": False}


class Kind(NamedTuple):
    """One kind of value; `read` turns text into a value and raises ValueError or KeyError for text it cannot read."""

    expects: str
    legal: Callable[[Any], object]
    read: Callable[[str], Any] = str.strip
    secret: bool = False

    def check(self, value: object, where: str) -> None:
        """Raise ConfigurationError, naming `where` the value came from, unless it is legal."""
        if not self._allows(value):
            raise self._illegal(value, where)

    def parse(self, text: str, where: str) -> Any:
        """Return the legal value in `text`; raises ConfigurationError that names `where` it came from."""
        try:
            value = self.read(text)
        except ConfigurationError as error:
            raise ConfigurationError(f"{where}: {str(error).removeprefix(f'{where}: ')}") from None
        except (ValueError, KeyError):
            raise self._illegal(text, where) from None
        if not self._allows(value):
            raise self._illegal(text, where)
        return value

    def _allows(self, value: object) -> bool:
        try:
            return bool(self.legal(value))
        except Exception:
            return False

    def _illegal(self, value: object, where: str) -> ConfigurationError:
        shown = "(hidden)" if self.secret else repr(value)
        return ConfigurationError(f"{where}: {shown} is not legal; expected {self.expects}")


def words(text: str) -> tuple[str, ...]:
    """Return what stands between the commas."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def seconds(shortest: float, longest: float) -> Kind:
    """A duration in seconds."""
    return Kind(
        f"seconds from {shortest:g} to {longest:g}", lambda value: _is_within(value, shortest, longest), _seconds
    )


def choice(*values: str) -> Kind:
    """One of a few words."""
    return Kind(f"{', '.join(values[:-1])} or {values[-1]}", values.__contains__)


def optional(kind: Kind) -> Kind:
    """The same, or None, written `none`."""
    return Kind(
        f"{kind.expects}, or none",
        lambda value: value is None or kind.legal(value),
        lambda text: None if text.strip().lower() in ("", "none") else kind.read(text),
    )


def _seconds(text: str) -> float:
    return milliseconds(text) / 1000


def _is_within(value: object, least: float, most: float) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and least <= value <= most  # type: ignore[arg-type,operator]


def _is_header(value: object) -> bool:
    return isinstance(value, str) and _HEADER_NAME.fullmatch(value) is not None


def _are_headers(values: Iterable[object]) -> bool:
    return all(map(_is_header, values))


def _are_paths(values: Iterable[object]) -> bool:
    return all(isinstance(path, str) and path.startswith(("/", "*")) for path in values)


BYTES = Kind("a number of bytes from 1 to 4096", lambda value: type(value) is int and 1 <= value <= 4096, int)
HEADER = Kind("a header name without '_'", _is_header, lambda text: text.strip().lower())
HEADERS = Kind("header names without '_', separated by commas", _are_headers, lambda text: words(text.lower()))
NAMES = Kind("plugin names separated by commas", lambda names: all(isinstance(name, str) for name in names), words)
OBJECTS = Kind("a list of plugin objects", lambda value: isinstance(value, (list, tuple)))
PATHS = Kind("path patterns such as /v1/* or /health, separated by commas", _are_paths, words)
SECRET = Kind(
    "a secret of at least 16 characters",
    lambda value: value is None or (isinstance(value, str) and len(value) >= 16),
    str,
    secret=True,
)
SWITCH = Kind("on or off", lambda value: isinstance(value, bool), lambda text: _SWITCH[text.strip().lower()])
