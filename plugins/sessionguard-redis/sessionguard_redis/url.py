"""What the URL of the store says: where the server is, how to reach it, and the options behind the question mark."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from sessionguard import ConfigurationError

PORT = 6379
OPTIONS = {
    "prefix": re.compile(r"[!-~]{1,64}"),
    "timeout": re.compile(r"[0-9]{1,2}(\.[0-9]{1,3})?"),
    "connections": re.compile(r"[1-9][0-9]{0,2}"),
    "eviction": re.compile("allow|refuse"),
}
SOCKET_OPTIONS = {"db": re.compile("[0-9]{1,5}")}
TLS_OPTIONS = dict.fromkeys(("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"), re.compile(".+"))
OF_SCHEME = {"redis": OPTIONS, "rediss": OPTIONS | TLS_OPTIONS, "unix": OPTIONS | SOCKET_OPTIONS}


@dataclass(frozen=True)
class RedisUrl:
    """`place` is what people may see; `connection` is what redis-py needs to connect, the password among it.

    `timeout`, in seconds, is the most a batch of commands may take; `connections` the most an event loop makes.
    """

    scheme: str
    place: str
    connection: Mapping[str, Any] = field(repr=False)
    prefix: str = "sessionguard:"
    timeout: float = 0.7
    connections: int = 8
    may_evict: bool = False


def parse(url: str) -> RedisUrl:
    """Read the URL; raises ConfigurationError, without the password, for anything it should not hold."""
    parts = urlsplit(url)
    options = _options(parts)
    try:
        place, address = _socket(parts, options) if parts.scheme == "unix" else _host(parts)
    except ValueError:
        _refuse("write redis://host:port/number, rediss://host:port/number or unix:///path/to/socket")
    given: dict[str, Any] = {name: options[name] for name in ("prefix", *TLS_OPTIONS) if name in options}
    if "prefix" in given:  # Other rows, so another place.
        place += f"{'&' if '?' in place else '?'}prefix={quote(given['prefix'], safe=':')}"
    tls = {name: given.pop(name) for name in TLS_OPTIONS if name in given}
    if "timeout" in options and not 0.05 <= float(options["timeout"]) <= 60:
        _refuse(f"timeout={options['timeout']} is not between 0.05 and 60 seconds")
    return RedisUrl(
        parts.scheme,
        place,
        {**address, **_credentials(parts), **tls},
        timeout=float(options.get("timeout", RedisUrl.timeout)),
        connections=int(options.get("connections", RedisUrl.connections)),
        may_evict=options.get("eviction") == "allow",
        **given,
    )


def _options(parts: SplitResult) -> dict[str, str]:
    legal = OF_SCHEME[parts.scheme]
    options: dict[str, str] = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name not in legal:
            near = difflib.get_close_matches(name, legal, n=1)
            _refuse(
                f"there is no option {name!r}; known are {', '.join(legal)}" + "".join(f"; {each}?" for each in near)
            )
        if name in options or not legal[name].fullmatch(value):
            _refuse(f"{name}={value} is not legal, or given twice")
        options[name] = value
    return options


def _host(parts: SplitResult) -> tuple[str, Mapping[str, Any]]:
    number = parts.path.strip("/") or "0"
    if not parts.hostname or not number.isdecimal() or parts.fragment:
        raise ValueError
    host, port = parts.hostname, parts.port or PORT
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}:{port}/{number}", {"host": host, "port": port, "db": int(number)}


def _socket(parts: SplitResult, options: Mapping[str, str]) -> tuple[str, Mapping[str, Any]]:
    path, number = unquote(parts.path), options.get("db", "0")
    if not path.startswith("/") or parts.hostname or parts.fragment:
        raise ValueError
    return f"unix://{path}?db={number}", {"path": path, "db": int(number)}


def _credentials(parts: SplitResult) -> Mapping[str, str]:
    named = {"username": parts.username, "password": parts.password}
    return {name: unquote(value) for name, value in named.items() if value}


def _refuse(why: str) -> NoReturn:
    raise ConfigurationError(f"store: the Redis URL is not understood: {why}") from None
