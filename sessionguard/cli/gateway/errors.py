"""The reasons why a gateway's store cannot be read."""

from __future__ import annotations

from sessionguard.errors import ConfigurationError, StoreUnavailable

ADVICE = "name the gateway's home (OPENCLAW_STATE_DIR, or ~/.openclaw), an openclaw-agent.sqlite or a sessions.json"


class Unreadable(ConfigurationError):
    """A file that is missing, damaged, or of another kind than expected."""


class NoSessions(Unreadable):
    """A database without tables of sessions, as of an agent that has never kept any."""


class Locked(StoreUnavailable):
    """A file that another process has for itself alone at the moment."""
