"""The plugin: the hooks through which the guard asks whether a request is an internal handoff."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from sessionguard import hookimpl
from sessionguard.asgi import Scope
from sessionguard_handoff import secret_list
from sessionguard_handoff.capability import HandoffCapability
from sessionguard_handoff.marker import is_marked


class HandoffPlugin:
    """Accepts internal handoffs from a marked scope, or from a request whose token is one of `secrets`.

    Without `secrets` the environment is read, once, here. Raises ConfigurationError for a secret that cannot work.
    """

    def __init__(self, secrets: Sequence[str] | None = None) -> None:
        known = secret_list.from_environment(os.environ) if secrets is None else secret_list.checked(secrets, "secrets")
        self._capability = HandoffCapability(known)

    @hookimpl
    def sessionguard_settings(self) -> Mapping[str, str]:
        return {secret_list.VARIABLE: "secrets, separated by commas, that allow internal handoffs over HTTP"}

    @hookimpl
    def sessionguard_suppress_visible_effects(self, scope: Scope) -> bool:
        # Both are asked every time: a header without its token is refused even where the scope is marked.
        marked, claimed = is_marked(scope), self._capability.is_claimed(scope)
        return marked or claimed
