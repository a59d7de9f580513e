"""The headers that pass a proxy, and those it writes itself."""

from __future__ import annotations

from sessionguard import asgi

_PROXY = frozenset({b"proxy-authenticate", b"proxy-authorization", b"proxy-connection"})
HOP_BY_HOP = _PROXY | {b"connection", b"keep-alive", b"te", b"trailer", b"transfer-encoding", b"upgrade"}
_ADDRESSES = (b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto")
# The server in front has already answered `expect`; the others are written anew, whatever the client said.
_NOT_FORWARDED = HOP_BY_HOP | {*_ADDRESSES, b"expect", b"host"}
_SCHEMES = {"ws": "http", "wss": "https"}


def of_request(scope: asgi.Scope, dropped: frozenset[bytes] = frozenset()) -> asgi.Headers:
    """Return the client's headers for the upstream, without `host`, `dropped` and those that say where it came from."""
    # A client must not rid itself of the guard's header by naming it in `connection`.
    return _end_to_end(scope["headers"], _NOT_FORWARDED | dropped, kept=scope.get("session_id", "").encode() or None)


def of_response(headers: asgi.Headers) -> asgi.Headers:
    """Return the upstream's headers for the client; what a guard said to the upstream is not for our client."""
    return _end_to_end(headers, HOP_BY_HOP | {b"x-sessionguard-status"})


def forwarded(scope: asgi.Scope) -> asgi.Headers:
    """Return the headers that say for whom, under which name and by which scheme the request came."""
    addresses = [*asgi.header_values(scope, b"x-forwarded-for"), (scope.get("client") or ("",))[0].encode()]
    scheme: str = scope.get("scheme", "http")
    values = (
        b", ".join(filter(None, addresses)),
        b", ".join(asgi.header_values(scope, b"host")),
        _SCHEMES.get(scheme, scheme).encode(),
    )
    return [(name, value) for name, value in zip(_ADDRESSES, values, strict=True) if value]


def _end_to_end(headers: asgi.Headers, dropped: frozenset[bytes], kept: bytes | None = None) -> asgi.Headers:
    """Return the headers without `dropped` and those `connection` names, unless the value of the latter is `kept`."""
    connection = [value.lower() for name, value in headers if name.lower() == b"connection"]
    named = {token.strip() for value in connection for token in value.split(b",")}
    pairs = [(name.lower(), value) for name, value in headers if asgi.one_spelling(name) not in dropped]
    return [(name, value) for name, value in pairs if name not in named or value == kept]
