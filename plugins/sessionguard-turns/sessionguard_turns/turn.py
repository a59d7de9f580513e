"""A turn, as the application sees it in `scope["sessionguard.turn"]`."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from sessionguard.asgi import Scope

SCOPE_KEY = "sessionguard.turn"
TOKEN_HEADER = "x-sessionguard-turn"  # noqa: S105 - a name


def new_token() -> str:
    """Return what nobody can guess."""
    return secrets.token_urlsafe(16)


@dataclass(frozen=True, slots=True)
class Turn:
    """The right of one request to its conversation until it ends.

    Whoever sends `headers` with a call to the same conversation is let in beside it. `fencing_number` is greater than
    that of every turn this conversation has had before, so that a resource which remembers the greatest it has seen
    can turn away a turn that is over without knowing it.
    """

    fencing_number: int
    token: str = field(default_factory=new_token, repr=False)
    on_ready: Callable[[], None] | None = field(default=None, repr=False, compare=False)

    def ready(self) -> None:
        """Say, from any thread, that the session exists in the application, so that mode `first` lets others in.

        Without this call they are held until the response has ended.
        """
        if self.on_ready is not None:
            self.on_ready()

    @property
    def headers(self) -> dict[str, str]:
        """What a nested call to the same conversation has to send."""
        return {TOKEN_HEADER: self.token}


def get_turn(scope: Scope) -> Turn | None:
    """Return the turn of this request, None where it needs none: mode `off`, an internal handoff, no session key."""
    turn = scope.get(SCOPE_KEY)
    return turn if isinstance(turn, Turn) else None
