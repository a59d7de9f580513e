"""The one spelling of a session key, and the row key it is stored under.

The grammar is the upstream gateway's (`agent:<agent>:<rest>`, lower case but for opaque peer ids); the length limit,
the character set and the refusal of empty segments are ours, because upstream has none and dropping a segment would
give one conversation two spellings.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import re
from collections.abc import Sequence
from urllib.parse import quote, unquote

from sessionguard.errors import AgentMismatch, InvalidAgentId, InvalidSessionKey, ReservedSessionKey

RESERVED = frozenset({"subagent", "cron", "acp", "harness", "hook", "internal-session-effects"})
UNSCOPED = frozenset({"global", "unknown"})
MOST_PRINCIPALS = 1024

_AGENT = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}", re.ASCII | re.IGNORECASE)
_LONGEST_SCOPE = len("agent::") + 64
_VISIBLE = re.compile(r"[!-+\--~]+")
_UNWANTED = (
    (re.compile(r"[^\x00-\x7f]"), "a character outside ASCII, which clients encode in different ways; send ASCII only"),
    (re.compile(r"[ \t]"), "a space or a tab inside; put '-' or '_' in its place"),
    (re.compile(r","), "a comma, which joins the values of repeated headers; put '-' or '_' in its place"),
    (re.compile(r"[\x00-\x1f\x7f]"), "a control character; remove it"),
)
"""Characters that are no part of a key, each with the reason and the fix."""
_OPAQUE = re.compile(
    r"(?:^|(?<=:))(?:signal:group:(?P<signal>[^:]+)|matrix:(?:channel|group):(?P<matrix>.+))", re.IGNORECASE
)
_THREAD = re.compile(r":thread:", re.IGNORECASE)


def canonical(raw: str, agent: str | None = None, *, default_agent: str = "main", max_length: int = 256) -> str:
    """Return the canonical spelling of `raw`, sent for `agent` (None or empty: the default agent).

    `max_length` is in bytes and counts what stands behind `agent:<agent>:`, so that a canonical key can be handed in
    again. Raises InvalidSessionKey, ReservedSessionKey, InvalidAgentId or AgentMismatch; the messages never repeat the
    key.
    """
    named_agent = agent_id(agent) if agent and agent.strip(" \t") else None
    text = _checked(raw.strip(" \t"), max_length)
    lowered = text.lower()
    if lowered in UNSCOPED:
        return lowered
    rest, owner = text, named_agent or default_agent
    if lowered.startswith("agent:"):
        rest, owner = _split_scoped(text)
        if named_agent is not None and named_agent != owner:
            raise AgentMismatch(
                "The session key belongs to another agent than the one named beside it; name one agent."
            )
    if len(rest) > max_length:
        raise _too_long(max_length)
    if ":" not in rest:
        return f"agent:{owner}:{rest.lower()}"
    _check_segments(rest.lower().split(":"))
    return f"agent:{owner}:{_fold_case(rest)}"


def agent_id(text: str) -> str:
    """Return the agent id in lower case; raises InvalidAgentId when it does not follow the grammar."""
    stripped = text.strip(" \t")
    if not _AGENT.fullmatch(stripped):
        raise InvalidAgentId("The agent id must be 1 to 64 of a-z, 0-9, '_' and '-', and begin with a letter or digit.")
    return stripped.lower()


def row_key(namespace: str, principal: str | None, session_key: str, secret: str | None = None) -> str:
    """Where the store keeps a conversation: an injective text of (namespace, principal, session key).

    Namespace and principal are percent-encoded, so the first two slashes always separate the three parts. With
    `secret` the last two are replaced by an HMAC-SHA-256, for stores that must not hold keys.
    """
    plain = f"{_quoted(principal or '')}/{session_key}"
    if secret is not None:
        plain = "#" + hmac.new(secret.encode("utf-8", "surrogatepass"), plain.encode(), hashlib.sha256).hexdigest()
    return f"{_quoted(namespace)}/{plain}"


def split_row_key(text: str) -> tuple[str, str | None, str]:
    """Undo `row_key`: (namespace, principal or None, session key); a hashed row gives its `#...` text as the key."""
    namespace, _, rest = text.partition("/")
    if rest.startswith("#"):
        return _unquoted(namespace), None, rest
    principal, _, session_key = rest.partition("/")
    return _unquoted(namespace), _unquoted(principal) or None, session_key


def fingerprint(text: str) -> str:
    """Eight hex digits that stand for a key in logs."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]


@functools.lru_cache(MOST_PRINCIPALS)
def _quoted(text: str) -> str:
    return quote(text, safe="", errors="surrogatepass")


def _unquoted(text: str) -> str:
    return unquote(text, errors="surrogatepass")


def _checked(text: str, max_length: int) -> str:
    if not text:
        raise InvalidSessionKey("The session key is empty; send a key or leave the header out.")
    if len(text) > max_length + _LONGEST_SCOPE:
        raise _too_long(max_length)
    if not _VISIBLE.fullmatch(text):
        reason = next(reason for pattern, reason in _UNWANTED if pattern.search(text))
        raise InvalidSessionKey(f"The session key holds {reason}.")
    if text[0] == ":" or text[-1] == ":" or "::" in text:
        place = "begins with a colon" if text[0] == ":" else "ends with a colon" if text[-1] == ":" else "holds '::'"
        raise InvalidSessionKey(f"The session key {place}, which leaves an empty segment; remove the stray colon.")
    return text


def _check_segments(segments: Sequence[str]) -> None:
    if segments[0] in RESERVED:
        raise ReservedSessionKey(
            "The session key cannot use reserved internal session namespaces; choose another prefix."
        )
    if "agent" in segments[:-1]:
        raise InvalidSessionKey("The session key holds 'agent:' in its middle; use it once, as agent:<agent>:<key>.")


def _too_long(max_length: int) -> InvalidSessionKey:
    return InvalidSessionKey(f"The session key is longer than {max_length} bytes; send a shorter one.")


def _split_scoped(text: str) -> tuple[str, str]:
    parts = text.split(":", 2)
    if len(parts) < 3 or not _AGENT.fullmatch(parts[1]):
        raise InvalidSessionKey("A session key that begins with 'agent:' must read agent:<agent>:<key>.")
    return parts[2], parts[1].lower()


def _fold_case(rest: str) -> str:
    folded: list[str] = []
    done = 0
    for match in _OPAQUE.finditer(rest):
        start, end = match.span("signal" if match["signal"] else "matrix")
        folded += rest[done:start].lower(), _THREAD.sub(":thread:", rest[start:end])
        done = end
    return "".join(folded) + rest[done:].lower()
