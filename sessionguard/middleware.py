"""SessionGuard: find out what a request asks for, resolve it, put the answer into the scope, hand the request on."""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable, Callable
from time import monotonic_ns
from typing import TYPE_CHECKING, Any

from sessionguard import asgi
from sessionguard.admission import REQUESTS, SCOPE_KEY, Admission, Known, OurHeaders, Passage
from sessionguard.attempts import StoreAttempts
from sessionguard.errors import ConfigurationError, Refusal, ResolutionMissing, SessionForbidden
from sessionguard.lifespan import StoreLifespan
from sessionguard.observers import observer
from sessionguard.openclaw import OpenClawKeys
from sessionguard.plugins import PluginRegistry, asked_at_start
from sessionguard.policy import EXPLICIT_SCOPE_KEY, RequestPolicy
from sessionguard.records import Resolution
from sessionguard.resolver import SessionResolver
from sessionguard.settings import GuardSettings, disabled_plugins
from sessionguard.store import REACH, SessionStore, wall_clock
from sessionguard.touches import PendingTouches

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from sessionguard.settings import GuardOptions

FURTHER_REACHING = {"host": "disk:", "cluster": "redis://host or postgresql://host/database"}

log = logging.getLogger("sessionguard")


def get_resolution(scope: asgi.Scope) -> Resolution:
    """Return how this request came by its session id.

    Raises ResolutionMissing where no guard stands in front, and for requests that named no conversation; where a key
    is optional, read `scope.get("sessionguard")`.
    """
    resolution = scope.get(SCOPE_KEY)
    if not isinstance(resolution, Resolution):
        raise ResolutionMissing(
            "This scope has no resolution: put SessionGuard(app) in front of the application and send a session key."
        )
    return resolution


class SessionGuard:
    """ASGI middleware: the same session key always meets the same session id.

    `app` is any ASGI application; the options are the fields of `GuardSettings`, and whatever is not given is taken
    from the environment. Building a guard does no I/O on the store. Raises ConfigurationError for a setting, plugin
    or store that cannot work. Attributes the guard does not have are those of `app`.
    """

    def __init__(self, app: Callable[..., Any], **options: Unpack[GuardOptions]) -> None:
        self._wrapped = app
        plugins = PluginRegistry(options.get("plugins", ()), disabled_plugins(options, os.environ))
        settings = GuardSettings.load(options, os.environ, plugins.declared_variables())
        keys = OpenClawKeys(settings.header, settings.aliases)
        plugins.add_openclaw(keys)
        hooks = plugins.implementations()
        store = plugins.store(settings)
        _check_reach(store, settings)
        attempts = StoreAttempts(store, observer("sessionguard_store_called", hooks["sessionguard_store_called"]))
        touch_interval = int(settings.touch_interval * 1000)
        touches = PendingTouches(attempts.touch, touch_interval, monotonic_ns)
        self._store = store
        self._settings = settings
        self._policy = RequestPolicy(settings, hooks, keys)
        self._resolver = SessionResolver(
            attempts,
            touches,
            reset=settings.reset,
            mint=self._policy.new_session_id,
            clock=wall_clock,
            reserve_timeout=settings.reserve_timeout,
            touch_interval=touch_interval,
            # A plugin that mints is asked only when a new id is wanted for certain.
            reads_first=not store.remembers or bool(hooks["sessionguard_new_session_id"]),
            fail_open=settings.on_store_error == "open",
        )
        self._lifespan = StoreLifespan(store, touches.flush, self._announce)
        tell_resolved = observer("sessionguard_session_resolved", hooks["sessionguard_session_resolved"])
        self._tell_refused = observer("sessionguard_request_refused", hooks["sessionguard_request_refused"])
        self._admission = Admission(settings, keys, self._policy, self._resolver, store, tell_resolved)
        self._announced = False
        self._app = asgi.single_callable(app)
        for plugin, wrap in hooks["sessionguard_wrap_app"]:
            self._app = asked_at_start(plugin, wrap, self._app, settings, store, hooks)

    async def __call__(self, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        # A guard further out that has spoken is not contradicted: two must not disagree about one request.
        if scope["type"] not in REQUESTS or (SCOPE_KEY in scope and isinstance(scope[SCOPE_KEY], Resolution)):
            await self._pass_on(scope, receive, send)
            return
        if type(scope["headers"]) is not list:
            scope = asgi.with_headers_listed(scope)
        admission = self._admission
        ours, known, passage = admission.recall(scope)
        if ours or not admission.headers_decide or EXPLICIT_SCOPE_KEY in scope:
            try:
                passage = passage or await self._resolve(scope, ours, known)
            except Refusal as error:
                await self._refuse(scope, send, error)
                return
            scope, send = admission.admit(scope, send, ours, passage)
        await self._app(scope, receive, send)

    def __getattr__(self, name: str) -> Any:
        if name == "_wrapped":
            raise AttributeError(name)
        return getattr(self._wrapped, name)

    @property
    def knows_principals(self) -> bool:
        """Whether a plugin names principals, so that conversations belong to them."""
        return self._policy.knows_principals

    async def reset(self, session_key: str, *, agent: str | None = None, principal: str | None = None) -> Resolution:
        """Give the conversation a new session id, from the next request on, in every process.

        `session_key` and `agent` are read like the headers. Raises a Refusal for a key that is not legal or a store
        that does not answer, and SessionForbidden when conversations belong to principals and none is named.
        """
        if not principal and self.knows_principals:
            raise SessionForbidden("Conversations belong to principals here; say whose conversation to reset.")
        key = self._policy.canonical_key(session_key, agent)
        return await self._resolver.rebind(key, self._policy.row_key(key, principal))

    async def _pass_on(self, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan.run(self._app, scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _resolve(self, scope: asgi.Scope, ours: OurHeaders, known: Known | None) -> Awaitable[Passage | None]:
        passage = self._admission.resolve(scope, ours, known)
        return passage if self._announced else self._announcing(passage)

    async def _announcing(self, awaited: Awaitable[Passage | None]) -> Passage | None:
        passage = await awaited
        if passage is not None and passage.resolution.session_started_at is not None:
            self._announce()
        return passage

    async def _refuse(self, scope: asgi.Scope, send: asgi.Send, error: Refusal) -> None:
        if error.status == 500:
            log.error("%s", error, exc_info=error.__cause__)
        if self._tell_refused is not None:
            self._tell_refused(scope, error)
        await asgi.refuse(scope, send, error)

    def _announce(self) -> None:
        """Say once what this guard stands on, when the store has been used and knows its place."""
        if self._announced:
            return
        self._announced = True
        log.info("conversations are kept in %s, shared within one %s", self._store.location, self._store.coordination)
        for warning in self._store.warnings():
            log.warning("%s: %s", self._store.location, warning)
        if not self.knows_principals:
            log.warning("no plugin says who is asking: whoever may send a session key may join its conversation")


def _check_reach(store: SessionStore, settings: GuardSettings) -> None:
    needed = settings.coordination
    if needed is not None and REACH.index(store.coordination) < REACH.index(needed):
        raise ConfigurationError(
            f"store: {store.location} keeps one id per key within one {store.coordination}, but"
            f" SESSIONGUARD_COORDINATION asks for {needed}; set SESSIONGUARD_STORE to one that reaches that far,"
            f" such as {FURTHER_REACHING[needed]}"
        )
