"""How a key may arrive, byte for byte, and what is made of it: the same on every server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

KEY = b"x-openclaw-session-key"
ROOM = "agent:main:room-1"
REFUSED = "refused"
NO_KEY = "no key"

HTTP2 = ("hypercorn-h2", "granian-h2")
"""The servers spoken to in HTTP/2, which has names in lower case only."""

FOLD_REFUSING = ("uvicorn-httptools", "granian", "aiohttp")
"""Whose parsers take no line that begins with a space; for the others it goes on with the line before it."""


@dataclass(frozen=True)
class Case:
    """Lines of a request's head and the decision on it: the canonical key, or REFUSED, or NO_KEY.

    `refused_by` are the servers that refuse with 4xx or by closing what the others let through to the guard, and
    `in_http2` is False for what HTTP/2 has no bytes for.
    """

    lines: Sequence[bytes]
    decision: str
    refused_by: frozenset[str] = frozenset()
    in_http2: bool = True


def keyed(value: bytes, decision: str = REFUSED, *refused_by: str, in_http2: bool = True) -> Case:
    return Case([KEY + b": " + value], decision, frozenset(refused_by), in_http2)


def lines(decision: str, *lines: bytes, refused_by: Sequence[str] = (), in_http2: bool = True) -> Case:
    return Case(lines, decision, frozenset(refused_by), in_http2)


CASES: Mapping[str, Case] = {
    "a key": keyed(b"room-1", ROOM),
    "capitals in the value": keyed(b"Room-1", ROOM),
    "a name in capitals": lines(ROOM, b"X-OPENCLAW-SESSION-KEY: room-1", refused_by=HTTP2),
    "a name in title case": lines(ROOM, b"X-OpenClaw-Session-Key: room-1", refused_by=HTTP2),
    "no space behind the colon": lines(ROOM, KEY + b":room-1", in_http2=False),
    "spaces in front": keyed(b"   room-1", ROOM, "hypercorn-h2"),
    "spaces behind": keyed(b"room-1   ", ROOM, "hypercorn-h2"),
    "tabs around": keyed(b"\troom-1\t", ROOM, "hypercorn-h2"),
    "empty": keyed(b"", NO_KEY),
    "nothing but spaces": keyed(b"   ", NO_KEY, "hypercorn-h2"),
    "nothing but a tab": keyed(b"\t", NO_KEY, "hypercorn-h2"),
    "sent twice": lines(ROOM, KEY + b": room-1", KEY + b": room-1"),
    "sent twice, once in capitals": lines(REFUSED, KEY + b": room-1", KEY + b": ROOM-1"),
    "sent twice, under two spellings of the name": lines(
        ROOM, KEY + b": room-1", KEY.upper() + b": room-1", refused_by=HTTP2
    ),
    "sent twice, once empty": lines(ROOM, KEY + b": ", KEY + b": room-1"),
    "sent twice, once padded": lines(ROOM, KEY + b": room-1 ", KEY + b": room-1", refused_by=["hypercorn-h2"]),
    "sent ninety times": lines(ROOM, *[KEY + b": room-1"] * 90),
    "two keys": lines(REFUSED, KEY + b": room-1", KEY + b": room-2"),
    "two keys, far apart": lines(REFUSED, KEY + b": room-1", b"accept: */*", KEY + b": room-2"),
    "a list": keyed(b"room-1, room-2"),
    "a list of the same": keyed(b"room-1,room-1"),
    "a name with underscores": lines(NO_KEY, b"x_openclaw_session_key: room-1"),
    "another key under a name with underscores": lines(ROOM, b"x_openclaw_session_key: room-2", KEY + b": room-1"),
    "as long as may be": keyed(b"k" * 256, "agent:main:" + "k" * 256),
    "a byte too long": keyed(b"k" * 257),
    "8 KiB": keyed(b"k" * 8192),
    "64 KiB": keyed(b"k" * 65536),
    "1 MiB": keyed(b"k" * (1 << 20)),
    "Latin-1": keyed(b"caf\xe9"),
    "UTF-8": keyed("комната".encode()),
    "NUL": keyed(b"room\x00-1"),
    "NUL at the end": keyed(b"room-1\x00"),
    "escape": keyed(b"room\x1b[2J"),
    "delete": keyed(b"room\x7f-1"),
    "a space within": keyed(b"room 1"),
    "a tab within": keyed(b"room\t1"),
    "a vertical tab in front": keyed(b"\x0broom-1"),
    "a no-break space in front": keyed(b"\xa0room-1"),
    "a carriage return within": keyed(b"room\r-1"),
    "folded": lines(REFUSED, KEY + b": room", b" -1", in_http2=False),
    "folded in front of the value": lines(ROOM, KEY + b":", b" room-1", refused_by=FOLD_REFUSING, in_http2=False),
    "a space in front of the colon": lines(REFUSED, KEY + b" : room-1", in_http2=False),
    "a space in front of the name": lines(NO_KEY, b" " + KEY + b": room-1", refused_by=FOLD_REFUSING, in_http2=False),
    "no colon": lines(REFUSED, KEY + b" room-1", in_http2=False),
    "a line feed alone": lines(
        ROOM, KEY + b": room-1\nx-other: 1", refused_by=["uvicorn-httptools", "daphne", "aiohttp"], in_http2=False
    ),
    "named in Connection": lines(ROOM, KEY + b": room-1", b"connection: " + KEY, in_http2=False),
    "percent-encoded": keyed(b"%72oom-1", "agent:main:%72oom-1"),
    "quoted": keyed(b'"room-1"', 'agent:main:"room-1"'),
    "an empty segment": keyed(b"room::1"),
    "reserved": keyed(b"cron:nightly"),
    "scoped": keyed(b"agent:ops:room-1", "agent:ops:room-1"),
    "an agent beside it": lines("agent:ops:room-1", b"x-openclaw-agent-id: ops", KEY + b": room-1"),
    "another agent beside it": lines(REFUSED, b"x-openclaw-agent-id: dev", KEY + b": agent:ops:room-1"),
    "two agents beside it": lines(REFUSED, *[b"x-openclaw-agent-id: " + agent for agent in (b"a", b"b")], KEY + b": a"),
}
