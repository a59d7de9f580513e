"""The headers that pass a proxy, and those it writes itself."""

from __future__ import annotations

import contextlib
from ipaddress import IPv6Address, ip_address

from sessionguard import asgi

_PROXY = frozenset({b"proxy-authenticate", b"proxy-authorization", b"proxy-connection"})
HOP_BY_HOP = _PROXY | {b"connection", b"keep-alive", b"te", b"trailer", b"transfer-encoding", b"upgrade"}
_FOR, _HOST, _PROTO = b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto"
_FORWARDED = (b"x-forwarded-", b"forwarded", b"x-real-ip")
"""How the names of the headers begin by which a proxy says for whom a request comes."""

# The server in front has already answered `expect`; `host` is written anew.
_NOT_PASSED = HOP_BY_HOP | {b"expect", b"host"}
_SCHEMES = {"ws": "http", "wss": "https"}
_UNKNOWN = b"unknown"
"""The client address where the server tells none, as in RFC 7239, section 6.3."""

SESSION_KEY_HEADER = b"x-openclaw-session-key"
READY_HEADER = b"x-sessionguard-ready"
_PREFIX = b"x-sessionguard-"


def of_request(
    scope: asgi.Scope, dropped: frozenset[bytes] = frozenset(), *, canonical_key: bool = False
) -> asgi.Headers:
    """Return the client's end-to-end headers for the upstream, without `host` and `dropped`; see also `forwarded`.

    With `canonical_key` the session key is the one the guard resolved, whatever its spelling was.
    """
    resolution = scope.get("sessionguard") if canonical_key else None
    session_key: str | None = None if resolution is None else resolution.session_key
    if session_key is not None:
        dropped |= {SESSION_KEY_HEADER}
    # A client must not remove the guard's header by naming it in `connection`.
    kept = scope.get("session_id", "").encode() or None
    headers = _end_to_end(scope["headers"], _NOT_PASSED | dropped, kept=kept)
    passed = [pair for pair in headers if not asgi.one_spelling(pair[0]).startswith(_FORWARDED)]
    return passed if session_key is None else [*passed, (SESSION_KEY_HEADER, session_key.encode())]


def of_response(headers: asgi.Headers) -> asgi.Headers:
    """Return the upstream's end-to-end headers for the client; `x-sessionguard-*` is for a guard to say, not for it."""
    return [pair for pair in _end_to_end(headers, HOP_BY_HOP) if not pair[0].startswith(_PREFIX)]


def is_ready(headers: asgi.Headers) -> bool:
    """Return whether the upstream says in its response that the session exists."""
    return any(name.lower() == READY_HEADER for name, _ in headers)


def forwarded(scope: asgi.Scope) -> asgi.Headers:
    """Return the forwarded headers for the upstream, by the address of the peer of the socket.

    A peer on loopback that sends none is a local client: there are none. One that sends some is a reverse proxy on this
    host: they are kept, and the chain of addresses is extended by its own. Those of any other peer cannot be trusted
    and are replaced; an unknown peer counts as remote, so that a remote client never looks local to the upstream.
    """
    address = (scope.get("client") or ("",))[0]
    sent = [
        (name, value)
        for name, value in ((asgi.one_spelling(name), value) for name, value in scope["headers"])
        if name.startswith(_FORWARDED)
    ]
    is_local = _is_loopback(address)
    if is_local and not sent:
        return []
    scheme: str = scope.get("scheme", "http")
    known = {
        _HOST: b", ".join(asgi.header_values(scope, b"host")),
        _PROTO: _SCHEMES.get(scheme, scheme).encode(),
    }
    chain: list[bytes] = []
    others: asgi.Headers = []
    if is_local:
        # A proxy that names its client elsewhere alone must not make the upstream take it for the client.
        chain = [value for name, value in sent if name == _FOR] or [_UNKNOWN]
        others = [pair for pair in sent if pair[0] != _FOR]
    named = {name for name, _ in others}
    added = [(name, value) for name, value in known.items() if value and name not in named]
    return [(_FOR, b", ".join([*chain, address.encode() or _UNKNOWN])), *others, *added]


def _is_loopback(address: str) -> bool:
    with contextlib.suppress(ValueError):
        parsed = ip_address(address)
        mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
        return (mapped or parsed).is_loopback
    return False


def _end_to_end(headers: asgi.Headers, dropped: frozenset[bytes], kept: bytes | None = None) -> asgi.Headers:
    """Return the headers without `dropped` and those `connection` names, unless the value of the latter is `kept`."""
    connection = [value.lower() for name, value in headers if name.lower() == b"connection"]
    named = {token.strip() for value in connection for token in value.split(b",")}
    pairs = [(name.lower(), value) for name, value in headers if asgi.one_spelling(name) not in dropped]
    return [(name, value) for name, value in pairs if name not in named or value == kept]
