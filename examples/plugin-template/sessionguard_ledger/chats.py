"""A policy: the conversation is the chat that another client names in a header of its own."""

from __future__ import annotations

import os
from collections.abc import Mapping

from sessionguard import hookimpl
from sessionguard.asgi import Scope

VARIABLE = "SESSIONGUARD_CHAT_HEADER"


class Chats:
    """Takes the value of that header for the session key; without one it leaves the question to others."""

    def __init__(self) -> None:
        self._header = os.environ.get(VARIABLE, "").lower().encode()

    @hookimpl
    def sessionguard_settings(self) -> Mapping[str, str]:
        return {VARIABLE: "the header in which a client names its chat"}

    @hookimpl
    def sessionguard_session_key(self, scope: Scope) -> tuple[str, str | None] | None:
        # The rules for keys are the guard's: what is not legal is refused, whoever has found it.
        chats = [value.decode("latin-1") for name, value in scope["headers"] if name == self._header]
        return (chats[0], None) if chats else None
