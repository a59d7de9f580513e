"""The built-in key plugin: reads the headers OpenClaw clients send and hands (raw key, agent) on.

It knows how a header may arrive (any case, repeated, padded, empty); what a key may look like is for `keys`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from sessionguard.asgi import Header, Scope
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
        return self.read(scope["headers"])

    def read(self, headers: Iterable[Header]) -> tuple[str, str | None] | None:
        """Return the raw key and the agent beside it, None when there is no key.

        Raises InvalidSessionKey or InvalidAgentId when there are several.
        """
        found: dict[bytes, set[bytes]] = {}
        for name, value in headers:
            known = name if name in self.names else name.lower()
            if known in self.names and (stripped := value.strip(b" \t")):
                found.setdefault(known, set()).add(stripped)
        raw_key = _first(found, self._key_names, InvalidSessionKey)
        return None if raw_key is None else (raw_key, _first(found, self._agent_names, InvalidAgentId))


def _first(found: Mapping[bytes, Collection[bytes]], names: Sequence[bytes], refusal: type[Refusal]) -> str | None:
    for name in names:
        if name in found:
            if len(found[name]) > 1:
                raise refusal(f"The header {name.decode()} was sent more than once with different values; send one.")
            (value,) = found[name]
            return value.decode("latin-1")
    return None
