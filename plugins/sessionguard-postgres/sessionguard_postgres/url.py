"""What the URL of the store says: which of its options are ours, and which are the driver's."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from sessionguard import ConfigurationError

SWITCH = {"on": True, "off": False}
SYNCHRONOUS_COMMIT = ("on", "off", "local", "remote_write", "remote_apply")
OURS = {
    "connect_timeout": "2",
    "create_schema": "off",
    "pool_size": "5",
    "pooler": "off",
    "synchronous_commit": "",
}
THEIRS = frozenset({
    "application_name", "database", "dbname", "gsslib", "host", "krbsrvname", "options", "passfile", "password", "port",
    "ssl_max_protocol_version", "ssl_min_protocol_version", "sslcert", "sslcrl", "sslkey", "sslmode", "sslnegotiation",
    "sslpassword", "sslrootcert", "target_session_attrs", "user",
})  # fmt: skip


class PostgresUrl(NamedTuple):
    """Where the server is and how to use it; `dsn` is for the driver, `location` for people."""

    dsn: str
    location: str
    create_schema: bool
    pool_size: int
    pooler: bool
    synchronous_commit: str | None
    connect_timeout: float
    """In seconds."""


def parse(url: str) -> PostgresUrl:
    """Read `postgresql://user:password@host:port/database?option=value`; raises ConfigurationError without secrets."""
    scheme, netloc, path, query, fragment = urlsplit(url)
    userinfo, _, hosts = netloc.rpartition("@")
    user = f"{userinfo.partition(':')[0]}@" if userinfo else ""
    location = f"{scheme}://{user}{hosts}{path}"
    if fragment or "@" in userinfo or "/" in path[1:]:
        raise _mistake(location, "is not understood; write %40 for @, %2F for /, %23 for # and %3F for ? in its parts")
    options = _options(query, location)
    theirs = {name: value for name, value in options.items() if name in THEIRS and value}
    chosen = {name: options.get(name) or default for name, default in OURS.items()}
    return PostgresUrl(
        dsn=f"postgresql://{netloc}{path}?{urlencode(theirs, quote_via=quote)}".rstrip("?"),
        location=location,
        create_schema=SWITCH[_one_of(SWITCH, chosen, "create_schema", location)],
        pool_size=_number(chosen, "pool_size", location),
        pooler=SWITCH[_one_of(SWITCH, chosen, "pooler", location)],
        synchronous_commit=_one_of(("", *SYNCHRONOUS_COMMIT), chosen, "synchronous_commit", location) or None,
        connect_timeout=_number(chosen, "connect_timeout", location),
    )


def _options(query: str, location: str) -> Mapping[str, str]:
    pairs = parse_qsl(query, keep_blank_values=True)
    options = dict(pairs)
    if len(options) < len(pairs):
        raise _mistake(location, "has an option twice")
    known = sorted({*OURS, *THEIRS})
    for name in options:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
            raise _mistake(location, f"has the unknown option {name}; {hint}")
    return options


def _one_of(legal: Mapping[str, bool] | tuple[str, ...], chosen: Mapping[str, str], name: str, location: str) -> str:
    if chosen[name] not in legal:
        raise _mistake(location, f"has an illegal {name}; write one of {', '.join(filter(None, legal))}")
    return chosen[name]


def _number(chosen: Mapping[str, str], name: str, location: str) -> int:
    value = chosen[name]
    if not (value.isascii() and value.isdigit() and 1 <= int(value) <= 1000):
        raise _mistake(location, f"has an illegal {name}; write a number from 1 to 1000")
    return int(value)


def _mistake(location: str, what: str) -> ConfigurationError:
    return ConfigurationError(f"store: {location} {what}")
