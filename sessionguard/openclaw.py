"""The built-in key plugin: reads the headers OpenClaw clients send and hands (raw key, agent) on.

It knows how a header may arrive (any case, repeated, padded, empty); what a key may look like is for `keys`.
"""

from __future__ import annotations

from collections.abc import Sequence

from sessionguard.asgi import Scope, header_values
from sessionguard.errors import InvalidAgentId, InvalidSessionKey, Refusal
from sessionguard.hookspecs import hookimpl

AGENT_HEADERS = ("x-openclaw-agent-id", "x-openclaw-agent")


class OpenClawKeys:
    """Looks for the key in `header`, then in each of `aliases`; the first header with a value counts."""

    def __init__(self, header: str, aliases: Sequence[str] = ()) -> None:
        self._key_names = tuple(name.lower().encode("ascii") for name in (header, *aliases))
        self._agent_names = tuple(name.encode("ascii") for name in AGENT_HEADERS)
        self.names = frozenset((*self._key_names, *self._agent_names))
        """Every header that is looked at, in lower case."""

    @hookimpl(trylast=True)
    def sessionguard_session_key(self, scope: Scope) -> tuple[str, str | None] | None:
        raw_key = _first(scope, self._key_names, InvalidSessionKey)
        if raw_key is None:
            return None
        return raw_key, _first(scope, self._agent_names, InvalidAgentId)


def _first(scope: Scope, names: Sequence[bytes], refusal: type[Refusal]) -> str | None:
    for name in names:
        values = {value.strip(b" \t") for value in header_values(scope, name)} - {b""}
        if len(values) > 1:
            raise refusal(f"The header {name.decode()} was sent more than once with different values; send one.")
        for value in values:
            return value.decode("latin-1")
    return None
