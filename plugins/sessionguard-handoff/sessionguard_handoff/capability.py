"""The right to ask for an internal handoff over HTTP: a marker header, and a token that proves it."""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from sessionguard import SessionForbidden
from sessionguard.asgi import Scope, header_values
from sessionguard_handoff.secret_list import VARIABLE

MARKER_HEADER = "x-openclaw-session-effects"
CAPABILITY_HEADER = "x-openclaw-handoff-token"


class HandoffCapability:
    """Whoever can name one of `secrets` may ask; without secrets nobody may."""

    def __init__(self, secrets: Sequence[bytes]) -> None:
        self._secrets = secrets

    def is_claimed(self, scope: Scope) -> bool:
        """Whether the request asks for a handoff and may; raises SessionForbidden when it asks and may not."""
        effects = _values(scope, MARKER_HEADER)
        if not effects - {b"visible"}:
            return False
        if effects != {b"internal"}:
            raise SessionForbidden(
                f"The header {MARKER_HEADER} must be sent once, as internal or visible; anything else could be a"
                " handoff that went wrong, and is refused rather than written to the conversation."
            )
        self._demand_token(scope)
        return True

    def _demand_token(self, scope: Scope) -> None:
        if not self._secrets:
            raise SessionForbidden(
                f"Internal handoffs over HTTP are switched off here; configure {VARIABLE}, or leave the header"
                f" {MARKER_HEADER} out."
            )
        tokens = _values(scope, CAPABILITY_HEADER)
        if len(tokens) != 1:
            raise SessionForbidden(f"An internal handoff needs exactly one token in the header {CAPABILITY_HEADER}.")
        if not self._matches(tokens.pop()):
            raise SessionForbidden(
                f"The token in the header {CAPABILITY_HEADER} is not valid here; was the secret rotated?"
            )

    def _matches(self, token: bytes) -> bool:
        # All are compared before any counts, so that the time taken does not tell which secret matched.
        verdicts = [hmac.compare_digest(token, secret) for secret in self._secrets]
        return any(verdicts)


def _values(scope: Scope, name: str) -> set[bytes]:
    return {value.strip(b" \t") for value in header_values(scope, name.encode("ascii"))}
