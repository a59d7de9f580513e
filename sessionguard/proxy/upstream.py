"""The server behind the proxy: its address, what to ask it for, and what to say when it gives no answer."""

from __future__ import annotations

import contextlib
import logging
import re
from urllib.parse import quote, unquote

import httpx

from sessionguard import asgi
from sessionguard.errors import ConfigurationError, Refusal, UpstreamTimeout, UpstreamUnreachable

log = logging.getLogger("sessionguard")


FORWARD_KEY = ("canonical", "as-sent")


class Upstream:
    """The server at `url`, which may have a base path. The timeouts are in seconds. Raises ConfigurationError.

    `forward_key` is which session key it gets: `canonical` or `as-sent`.
    """

    def __init__(self, url: str, connect_timeout: float, first_byte_timeout: float, forward_key: str) -> None:
        self.url = _upstream_url(url)
        if forward_key not in FORWARD_KEY:
            raise ConfigurationError(f"forward_key: {forward_key!r} is not legal; expected {' or '.join(FORWARD_KEY)}")
        self.gets_canonical_key = forward_key == "canonical"
        for name, seconds in (("connect_timeout", connect_timeout), ("first_byte_timeout", first_byte_timeout)):
            if not isinstance(seconds, (int, float)) or not seconds > 0:
                raise ConfigurationError(f"{name}: {seconds!r} is not legal; expected a number of seconds above 0")
        self.connect_timeout = connect_timeout
        self.first_byte_timeout = first_byte_timeout

    def target(self, scope: asgi.Scope) -> bytes:
        """Return what this request asks the upstream for, as the client spelled it."""
        return self.url.raw_path.rstrip(b"/") + _target(scope)

    def no_answer(self, reason: object, *, late: bool) -> Refusal:
        """Log the reason, which must not quote what was on the wire, and return what to tell the client."""
        log.warning("the upstream %s gave no response: %s", self.url, reason)
        if late:
            return UpstreamTimeout("The upstream server did not answer in time.")
        return UpstreamUnreachable("The upstream server is not reachable, or broke off before it answered; try again.")


def _target(scope: asgi.Scope) -> bytes:
    """Return path and query as the client spelled them, from below the mount point on."""
    path = scope.get("raw_path") or quote(scope["path"], safe="/:@!$&'()*+,;=~").encode()
    segments = re.sub(rb"\A[A-Za-z][A-Za-z0-9+.-]*://[^/]*", b"", path).split(b"/")
    mount = scope.get("root_path", "").rstrip("/")
    depth = mount.count("/") + 1
    if unquote(b"/".join(segments[:depth])) == mount:
        segments = [b"", *segments[depth:]]
    return b"?".join(filter(None, [b"/".join(segments) or b"/", scope["query_string"]]))


def _upstream_url(text: str) -> httpx.URL:
    with contextlib.suppress(httpx.InvalidURL, TypeError):
        url = httpx.URL(text)
        legal = url.scheme in ("http", "https") and url.host and url.port in (None, *range(1, 65536))
        if legal and len(text.split()) == 1 and not (url.userinfo or url.query or url.fragment):
            return url
    shown = "a URL with a user (hidden)" if "@" in str(text) else repr(text)
    raise ConfigurationError(f"upstream: {shown} is not legal; expected http://host:port or https, and at most a path")
