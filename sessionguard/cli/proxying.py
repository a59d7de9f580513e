"""The guarded proxy as an application factory for worker processes, which read the environment."""

from __future__ import annotations

import json
import os

from sessionguard import SessionGuard
from sessionguard.proxy import ReverseProxy

ARGUMENTS = "REVERSE_PROXY_ARGUMENTS"
"""The arguments of `ReverseProxy` as JSON; names that begin with SESSIONGUARD_ belong to the guard."""


def create_app() -> SessionGuard:
    """Return the proxy behind a guard; raises ConfigurationError."""
    return SessionGuard(ReverseProxy(**json.loads(os.environ[ARGUMENTS])))
