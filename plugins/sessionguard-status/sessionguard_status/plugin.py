"""The plugin: what the hooks tell goes into the journal, and a page shows it where one was asked for."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

from sessionguard import ConfigurationError, GuardSettings, Refusal, Resolution, SessionStore, hookimpl
from sessionguard.asgi import ASGIApp, Scope
from sessionguard.policy import Hooks
from sessionguard_status.journal import Journal
from sessionguard_status.page import StatusPage
from sessionguard_status.settings import PATH, VARIABLES, StatusSettings


class StatusPlugin:
    """Installed, it does nothing until SESSIONGUARD_STATUS_PATH is set. Raises ConfigurationError."""

    def __init__(self) -> None:
        self._settings = StatusSettings.load(os.environ)
        self._journal = Journal(time.time)

    @hookimpl
    def sessionguard_settings(self) -> Mapping[str, str]:
        return VARIABLES

    @hookimpl
    def sessionguard_wrap_app(
        self, app: ASGIApp, settings: GuardSettings, store: SessionStore, hooks: Hooks
    ) -> ASGIApp:
        if self._settings is None:
            return app
        who_asks = hooks["sessionguard_principal"]
        if not who_asks:
            raise ConfigurationError(
                f"{PATH} is set, but no plugin says who is asking; add one that implements sessionguard_principal"
            )
        return StatusPage(app, self._settings, settings, store, who_asks, self._journal)

    @hookimpl
    def sessionguard_session_resolved(self, scope: Scope, resolution: Resolution) -> None:
        self._journal.resolved(resolution.origin.value)

    @hookimpl
    def sessionguard_request_refused(self, scope: Scope, error: Refusal) -> None:
        self._journal.refused(error.code)

    @hookimpl
    def sessionguard_store_called(self, verb: str, outcome: str, seconds: float) -> None:
        self._journal.called(verb, outcome)

    @hookimpl
    def sessionguard_turn_waited(self, scope: Scope, outcome: str, seconds: float) -> None:
        self._journal.waited(outcome, seconds)
