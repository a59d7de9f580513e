"""The mark trusted code in front of the guard puts into a scope: `scope["sessionguard.handoff"] = INTERNAL`."""

from __future__ import annotations

from typing import Final

from sessionguard import PolicyFailed
from sessionguard.asgi import Scope

SCOPE_KEY = "sessionguard.handoff"


class InternalMarker:
    """Only the one instance `INTERNAL` means anything; an equal object, a copy, text or True does not."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "sessionguard_handoff.INTERNAL"


INTERNAL: Final = InternalMarker()


def is_marked(scope: Scope) -> bool:
    """Whether the scope carries `INTERNAL`; None counts as no mark. Raises PolicyFailed for any other object."""
    marker = scope.get(SCOPE_KEY)
    if marker is None or marker is INTERNAL:
        return marker is INTERNAL
    raise PolicyFailed(
        f"scope[{SCOPE_KEY!r}] holds an object of type {type(marker).__name__}; it must be"
        " sessionguard_handoff.INTERNAL itself, not a copy or a lookalike, or be left out.",
        "handoff",
    )
