"""The built-in key plugin: reads the headers OpenClaw clients send and hands (raw key, agent) on.

It knows how a header may arrive (any case, repeated, padded, empty); what a key may look like is for `keys`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sessionguard.asgi import Header, Scope
from sessionguard.errors import InvalidAgentId, InvalidSessionKey, Refusal
from sessionguard.hookspecs import hookimpl

AGENT_HEADERS = ("x-openclaw-agent-id", "x-openclaw-agent")
CONTRADICTION = b""
"""In place of a value, which is never empty."""


class OpenClawKeys:
    """Looks for the key in `header`, then in each of `aliases`; the first header with a value counts."""

    def __init__(self, header: str, aliases: Sequence[str] = ()) -> None:
        self._key_names = tuple(name.lower().encode("ascii") for name in (header, *aliases))
        self._agent_names = tuple(name.encode("ascii") for name in AGENT_HEADERS)
        self.names = frozenset((*self._key_names, *self._agent_names))
        """Every header that is looked at, in lower case."""

    @hookimpl(trylast=True)
    def sessionguard_session_key(self, scope: Scope) -> tuple[str, str | None] | None:
        return self.read(scope["headers"])

    def read(self, headers: Iterable[Header]) -> tuple[str, str | None] | None:
        """Return the raw key and the agent beside it, None when there is no key.

        Raises InvalidSessionKey or InvalidAgentId when there are several.
        """
        names = self.names
        found: dict[bytes, bytes] = {}
        for name, value in headers:
            known = name if name in names else name.lower()
            if known in names and (stripped := value.strip(b" \t")):
                found[known] = stripped if found.get(known, stripped) == stripped else CONTRADICTION
        raw_key = _first(found, self._key_names, InvalidSessionKey)
        return None if raw_key is None else (raw_key, _first(found, self._agent_names, InvalidAgentId))


def _first(found: Mapping[bytes, bytes], names: Sequence[bytes], refusal: type[Refusal]) -> str | None:
    for name in names:
        value = found.get(name)
        if value == CONTRADICTION:
            raise refusal(f"The header {name.decode()} was sent more than once with different values; send one.")
        if value is not None:
            return value.decode("latin-1")
    return None
