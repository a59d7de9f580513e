"""The secrets that handoff tokens are compared with: where they come from and what they may look like."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from sessionguard import ConfigurationError

VARIABLE = "SESSIONGUARD_HANDOFF_SECRETS"

_SENDABLE = re.compile(r"[!-~]{16,}")


def from_environment(environ: Mapping[str, str]) -> Sequence[bytes]:
    """Read the variable, entries separated by commas; no variable, no secrets."""
    if VARIABLE not in environ:
        return ()
    return checked([entry.strip() for entry in environ[VARIABLE].split(",")], VARIABLE)


def checked(secrets: Sequence[str], where: str) -> Sequence[bytes]:
    """Return the secrets as they arrive in a header. Raises ConfigurationError that names `where`, never a secret."""
    if isinstance(secrets, str):
        raise ConfigurationError(f"{where}: a single text is not a list of secrets; put it into a list")
    for position, secret in enumerate(secrets, start=1):
        if not isinstance(secret, str) or not _SENDABLE.fullmatch(secret):
            raise ConfigurationError(
                f"{where}: entry {position} of {len(secrets)} cannot be a secret; each needs 16 or more visible ASCII"
                ' characters without spaces, such as python -c "import secrets; print(secrets.token_urlsafe(32))"'
                f" prints. To switch handoffs over HTTP off, leave {VARIABLE} unset"
            )
    return tuple(secret.encode("ascii") for secret in secrets)
