"""The guarded proxy as an application factory for worker processes, which read the environment."""

from __future__ import annotations

import json
import os

from sessionguard import ConfigurationError, SessionGuard
from sessionguard.proxy import ReverseProxy

ARGUMENTS = "REVERSE_PROXY_ARGUMENTS"
"""The arguments of `ReverseProxy` as JSON; names that begin with SESSIONGUARD_ belong to the guard."""


def create_app() -> SessionGuard:
    """Return the proxy behind a guard.

    Raises:
        ConfigurationError: a setting cannot work, or the canonical key would make two principals one upstream.

    """
    arguments = json.loads(os.environ[ARGUMENTS])
    guard = SessionGuard(ReverseProxy(**arguments))
    if guard.knows_principals and arguments["forward_key"] == "canonical":
        raise ConfigurationError(
            "forward_key: a plugin keeps principals apart, but the canonical key is the same for all of them, so the"
            " upstream would make their conversations one; set --forward-key=as-sent and keep them apart there"
        )
    return guard
