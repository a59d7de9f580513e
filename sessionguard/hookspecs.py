"""The hooks: what a plugin can decide, add or watch. This file is their manual.

A plugin is any object, class or module with functions marked `@hookimpl`; installed distributions are found by the
entry-point group `sessionguard`, others are handed to the guard: `SessionGuard(app, plugins=[MyPlugin()])`. A class is
instantiated without arguments, once per guard.

Hooks are plain functions and must be quick: they decide, and the objects they return do the I/O. An `async def`
implementation is refused. An implementation may leave out arguments it does not need. When several plugins
implement a hook, the one registered last is asked first; `@hookimpl(tryfirst=True)` and `trylast=True` change that.

A deciding hook may raise a `Refusal` (`SessionForbidden`, `InvalidSessionKey`, ...) to answer the request. Any other
exception, or an answer of the wrong type, is a 500 `policy_failed` that names the plugin; nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import pluggy

if TYPE_CHECKING:
    from sessionguard.asgi import ASGIApp, Scope
    from sessionguard.errors import Refusal
    from sessionguard.records import Resolution
    from sessionguard.settings import GuardSettings
    from sessionguard.store import SessionStore

PROJECT = "sessionguard"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class HookImplementation(NamedTuple):
    """One plugin's answer to one hook; `call` takes the hook's arguments by position."""

    plugin: str
    call: Callable[..., Any]


class SessionGuardHooks(Protocol):
    """The hooks in the order in which a guard calls them."""

    @hookspec
    def sessionguard_settings(self) -> Mapping[str, str]:
        """Name the environment variables this plugin reads. Called once, when the guard is built.

        :returns: names (`SESSIONGUARD_...`) and a line about each. A name nobody declares is a start-up error.
        """

    @hookspec
    def sessionguard_register_stores(self) -> Mapping[str, Callable[[str, GuardSettings], SessionStore]]:
        """Offer stores by URL scheme. Called once, when the guard is built.

        :returns: schemes and factories; a factory is called with the URL and the settings, does no I/O, and raises
            `ConfigurationError` for a URL it cannot use. A scheme offered twice is a start-up error.
        """

    @hookspec
    def sessionguard_wrap_app(
        self,
        app: ASGIApp,
        settings: GuardSettings,
        store: SessionStore,
        hooks: Mapping[str, Sequence[HookImplementation]],
    ) -> ASGIApp:
        """Put middleware between the guard and the application. Called once, when the guard is built.

        :param app: what stands behind the guard so far.
        :param settings: the effective settings of this guard.
        :param store: the store of this guard, not opened yet.
        :param hooks: the implementations of every hook in calling order, for middleware that asks or tells plugins.
        :returns: an ASGI 3 application; each plugin wraps what the previous one returned.
        """

    @hookspec(firstresult=True)
    def sessionguard_session_key(self, scope: Scope) -> tuple[str, str | None] | None:
        """Find the conversation's name in a request. Called for every http and websocket request that is not excluded.

        :param scope: the scope as the server made it; do not change it.
        :returns: (raw key, raw agent id or None), None to leave the question to others. The first answer counts and
            goes through the rules of `sessionguard.keys`.
        """

    @hookspec(firstresult=True)
    def sessionguard_principal(self, scope: Scope) -> str | None:
        """Say who is asking. Called for requests with a key; same key, two principals: two conversations.

        :param scope: the scope as the server made it; do not change it.
        :returns: a stable text for the caller, None to leave the question to others. The first answer counts. Once any
            plugin implements this hook, a request with a key and no principal (None or empty) is refused with 403.
        """

    @hookspec(firstresult=True)
    def sessionguard_explicit_session_id(self, scope: Scope, session_key: str | None) -> str | None:
        """Dictate the session id. Called after the principal; the store is then neither read nor written.

        :param scope: the scope as the server made it; do not change it.
        :param session_key: the canonical key, None when the request has none.
        :returns: a session id (1 to 256 visible ASCII characters), None for no opinion. The first answer counts.
        """

    @hookspec
    def sessionguard_suppress_visible_effects(self, scope: Scope, session_key: str | None) -> bool | None:
        """Say whether this request is an internal handoff. Called after the explicit id, key or no key.

        :param scope: the scope as the server made it; do not change it.
        :param session_key: the canonical key, None when the request has none.
        :returns: True from any plugin makes the request internal: it reads the conversation's row and never writes.
        """

    @hookspec(firstresult=True)
    def sessionguard_new_session_id(self, session_key: str) -> str | None:
        """Mint an id for a new conversation, or for one that starts anew. Called before the reservation.

        :param session_key: the canonical key.
        :returns: an id nobody has had; returning the id that is being replaced is an error. None: a random UUID.
        """

    @hookspec
    def sessionguard_session_resolved(self, scope: Scope, resolution: Resolution) -> None:
        """Watch resolutions. Called before the application runs; an exception is logged and changes nothing.

        :param scope: the scope as the server made it; do not change it.
        :param resolution: what the application is about to see.
        """

    @hookspec
    def sessionguard_request_refused(self, scope: Scope, error: Refusal) -> None:
        """Watch refusals. Called before the answer is sent; an exception is logged and changes nothing.

        :param scope: the scope as the server made it; do not change it.
        :param error: the answer; its message never holds the raw key.
        """

    @hookspec(firstresult=True)
    def sessionguard_turn_mode(self, scope: Scope, resolution: Resolution) -> str | None:
        """Say how a request takes its turn. Asked by a turn gate (`sessionguard-turns`), if there is one.

        :param scope: the scope as the application shall see it; do not change it.
        :param resolution: what the guard has found out.
        :returns: `off`, `first`, `wait` or `reject`, None to leave the question to others. The first answer counts.
        """

    @hookspec
    def sessionguard_turn_waited(self, scope: Scope, outcome: str, seconds: float) -> None:
        """Watch a turn gate. Called when a wait is over, even one of no time; an exception is logged.

        :param scope: the scope as the application shall see it; do not change it.
        :param outcome: `admitted`, `nested` (a call that a running turn has made), `busy` (refused) or `left` (the
            client has gone, or the request was cancelled).
        :param seconds: how long the request was held.
        """

    @hookspec
    def sessionguard_store_called(self, verb: str, outcome: str, seconds: float) -> None:
        """Watch the store. Called after every call that reached it; an exception is logged and changes nothing.

        :param verb: `get`, `reserve`, `touch`, ...
        :param outcome: `ok`, `cancelled`, or the code of the refusal, such as `session_store_unavailable`.
        :param seconds: how long the call took.
        """
