"""The plugin: puts a turn gate between the guard and the application."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from sessionguard import GuardSettings, SessionStore, hookimpl
from sessionguard.asgi import ASGIApp
from sessionguard.policy import Hooks
from sessionguard_turns.gate import TurnGate
from sessionguard_turns.settings import VARIABLES

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from sessionguard_turns.settings import TurnOptions


class TurnsPlugin:
    """Gates every guard it is in; the options are those of `TurnGate`. A gate that was put there by hand is kept."""

    def __init__(self, **options: Unpack[TurnOptions]) -> None:
        self._options = options

    @hookimpl
    def sessionguard_settings(self) -> Mapping[str, str]:
        return VARIABLES

    @hookimpl
    def sessionguard_wrap_app(
        self, app: ASGIApp, settings: GuardSettings, store: SessionStore, hooks: Hooks
    ) -> ASGIApp:
        gate = app if isinstance(app, TurnGate) else TurnGate(app, **self._options)
        gate.connect(settings, store, hooks)
        return gate.door.enter
