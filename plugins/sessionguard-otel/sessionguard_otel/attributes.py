"""What a span says of the session its request belongs to."""

from __future__ import annotations

from collections.abc import Mapping

from sessionguard import Resolution
from sessionguard.keys import fingerprint

SESSION_ID = "session.id"
"""The name of the semantic conventions, https://opentelemetry.io/docs/specs/semconv/registry/attributes/session/."""
ORIGIN = "sessionguard.origin"
KEY_HASH = "sessionguard.key_hash"
CODE = "error.type"


def of_session(resolution: Resolution) -> Mapping[str, str]:
    """Return the attributes; of the key there is only the hash that `sessionguard sessions show --hash` finds."""
    attributes = {SESSION_ID: resolution.session_id, ORIGIN: resolution.origin.value}
    if resolution.session_key is not None:
        attributes[KEY_HASH] = fingerprint(resolution.session_key)
    return attributes
