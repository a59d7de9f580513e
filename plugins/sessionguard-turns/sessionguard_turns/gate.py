"""TurnGate: find out how a request takes its turn, wait for it, run the application, hand the turn on."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any

from sessionguard import (
    ConfigurationError,
    GuardSettings,
    LeaseSupport,
    Origin,
    Refusal,
    Resolution,
    SessionStore,
    asgi,
)
from sessionguard.admission import STORE_SCOPE_KEY
from sessionguard.hookspecs import HookImplementation
from sessionguard.observers import observer
from sessionguard.policy import Hooks, first_answer, nonsense
from sessionguard.store import REACH
from sessionguard_turns import entrance
from sessionguard_turns.answer import Answer, WithoutReady
from sessionguard_turns.busy import SessionBusy
from sessionguard_turns.door import Door
from sessionguard_turns.entrance import Admitted, Entrance
from sessionguard_turns.first_turn import FirstTurn
from sessionguard_turns.leasing import Leasing
from sessionguard_turns.readahead import ReadAhead
from sessionguard_turns.settings import Mode, TurnSettings
from sessionguard_turns.turn import SCOPE_KEY, TOKEN_HEADER, Turn
from sessionguard_turns.waiting import ClientLeft

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from sessionguard_turns.settings import TurnOptions

REQUESTS = ("http", "websocket")
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""RFC 9110, section 9.2.1: they ask for no turn of the agent."""
ONLY_NEW_ONES = frozenset({Mode.OFF, Mode.FIRST})
PRIVATE = (Origin.EPHEMERAL, Origin.DEGRADED)

_TOKEN = TOKEN_HEADER.encode()

log = logging.getLogger("sessionguard")


class TurnGate:
    """ASGI middleware behind a `SessionGuard`: one turn of a conversation at a time.

    `app` is any ASGI application; the options are the fields of `TurnSettings`, and whatever is not given is taken
    from the environment; then an `app` with the attribute `default_turn_mode`, as the `ReverseProxy` has it, says what
    its mode is. Raises ConfigurationError. Attributes the gate does not have are those of `app`.
    """

    def __init__(self, app: Callable[..., Any], **options: Unpack[TurnOptions]) -> None:
        self._wrapped = app
        self._app = asgi.single_callable(app)
        self._settings = settings = TurnSettings.load(options, os.environ, getattr(app, "default_turn_mode", None))
        self._entrance = Entrance(settings, None)
        self._is_connected = False
        self._mode_hooks: Sequence[HookImplementation] = ()
        self.door = Door(self._app, self._gate)
        self._gates_first_turns = Mode.FIRST in settings.modes
        self._tell_waited: Callable[..., None] | None = None
        self._tell_refused: Callable[..., None] | None = None

    def connect(self, settings: GuardSettings, store: SessionStore, hooks: Hooks) -> None:
        """Take the guard's store and plugins into account; raises ConfigurationError where it cannot serve them."""
        self._use(store, settings.namespace)
        reach = store.coordination if isinstance(store, LeaseSupport) else "process"
        if REACH.index(settings.coordination or "process") > REACH.index(reach) and self._settings.modes != {Mode.OFF}:
            raise ConfigurationError(
                f"SESSIONGUARD_COORDINATION asks for {settings.coordination}, but the store has no leases, so turns are"
                " kept within one process; choose a store that has them, or set SESSIONGUARD_TURNS_MODE=off"
            )
        self._mode_hooks = hooks["sessionguard_turn_mode"]
        self._tell_waited = observer("sessionguard_turn_waited", hooks["sessionguard_turn_waited"])
        self._tell_refused = observer("sessionguard_request_refused", hooks["sessionguard_request_refused"])
        self._open_door()

    def _use(self, store: SessionStore, namespace: str) -> None:
        """Keep turns as far apart as the store can, and say how far that is."""
        self._is_connected = True
        if self._settings.modes == {Mode.OFF}:
            return
        if isinstance(store, LeaseSupport) and store.coordination != "process":
            self._entrance = Entrance(self._settings, Leasing(store, namespace, self._settings.lease_time))
            log.info("turns are kept by leases in %s, within one %s", store.location, store.coordination)
        elif store.coordination == "process":
            log.info("turns are kept within one process, as the conversations are")
        else:
            log.warning("%s has no leases: turns are kept within one process only", store.location)

    def _open_door(self) -> None:
        """Let established conversations pass without a look at their mode, where that mode can only be off or first."""
        self._gates_first_turns = Mode.FIRST in self._settings.modes or bool(self._mode_hooks)
        is_open = self._settings.modes <= ONLY_NEW_ONES and not self._mode_hooks
        self.door.established = self._entrance.established if is_open else ()

    @asgi.handing_on
    def __call__(self, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> Awaitable[None]:
        return self.door.enter(scope, receive, send)

    async def _gate(self, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send, resolution: Resolution) -> None:
        # A gate further out that has spoken is not contradicted: the inner one would wait for the outer one's turn.
        if scope["type"] not in REQUESTS or SCOPE_KEY in scope:
            await self._app(scope, receive, send)
            return
        if not self._is_connected:
            self._use(scope[STORE_SCOPE_KEY], "")
            self._open_door()
        try:
            mode = self._mode_of(scope, resolution)
        except Refusal as error:
            await self._refuse(scope, send, error)
            return
        if mode is Mode.FIRST and (scope["type"] == "websocket" or scope["method"] in SAFE_METHODS):
            mode = Mode.OFF
        if mode is Mode.OFF or (mode is Mode.FIRST and self._entrance.is_established(resolution.session_id)):
            await self._app(scope, receive, WithoutReady(send, self.door.note_ready))
        else:
            await self._take_turn(scope, receive, send, resolution, mode)

    def __getattr__(self, name: str) -> Any:
        if name == "_wrapped":
            raise AttributeError(name)
        return getattr(self._wrapped, name)

    def _mode_of(self, scope: asgi.Scope, resolution: Resolution) -> Mode:
        """Return how this request takes its turn; raises PolicyFailed when a plugin cannot say."""
        if resolution.internal or resolution.session_key is None or resolution.origin in PRIVATE:
            return Mode.OFF
        if self._mode_hooks:
            plugin, answer = first_answer(self._mode_hooks, scope, resolution)
            if answer is not None:
                try:
                    return Mode(answer)
                except ValueError:
                    raise nonsense(plugin, "sessionguard_turn_mode", "off, first, wait, reject or None") from None
        return self._settings.mode_of(scope["path"])

    async def _take_turn(
        self, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send, resolution: Resolution, mode: Mode
    ) -> None:
        arrived = monotonic()
        conversation = resolution.session_id
        tokens = {value.decode("latin-1") for value in asgi.header_values(scope, _TOKEN)}
        ahead = ReadAhead(receive)
        try:
            admitted = await self._admit(scope, resolution, mode, tokens, ahead, arrived)
        except Refusal as error:
            await self._refuse(scope, self._answer(send, arrived), error)
            return
        except ClientLeft:
            return
        first_turn = self._entrance.first_turn(conversation, admitted) if self._gates_first_turns else None
        answer = self._answer(send, arrived, None if first_turn is None else first_turn.end)
        try:
            self._note(scope, "nested" if admitted.nested else "admitted", arrived)
            await self._app(_scope_of(scope, admitted.turn, first_turn), ahead.receive, answer)
        finally:
            ahead.close()
            try:
                if first_turn is not None and not first_turn.has_ended:
                    first_turn.close()
                    await _linger(answer, admitted)
            finally:
                await self._entrance.leave(conversation, admitted)

    def _answer(self, send: asgi.Send, arrived: float, settle: Callable[[], None] | None = None) -> Answer:
        return Answer(send, monotonic() - arrived, settle, self.door.note_ready)

    async def _admit(
        self,
        scope: asgi.Scope,
        resolution: Resolution,
        mode: Mode,
        tokens: set[str],
        ahead: ReadAhead,
        arrived: float,
    ) -> Admitted:
        """Wait to be let in; whoever is not has nothing left behind, and the observers know."""
        try:
            return await self._entrance.admit(resolution, mode, tokens, ahead)
        except BaseException as error:
            ahead.close()
            self._note(scope, "busy" if isinstance(error, SessionBusy) else "left", arrived)
            raise

    def _note(self, scope: asgi.Scope, outcome: str, arrived: float) -> None:
        if self._tell_waited is not None:
            self._tell_waited(scope, outcome, monotonic() - arrived)

    async def _refuse(self, scope: asgi.Scope, send: asgi.Send, error: Refusal) -> None:
        if self._tell_refused is not None:
            self._tell_refused(scope, error)
        await asgi.refuse(scope, send, error)


async def _linger(answer: Answer, admitted: Admitted) -> None:
    """Wait before the next first turn, if the response was broken off: the client has left, its turn may go on."""
    if not answer.is_broken_off or isinstance(sys.exception(), Exception):
        return
    if admitted.holding is not None and admitted.holding.brief:
        await asyncio.sleep(entrance.ABANDONED_SECONDS - (monotonic() - admitted.holding.since))


def _scope_of(scope: asgi.Scope, turn: Turn | None, first_turn: FirstTurn | None) -> asgi.Scope:
    headers = asgi.without_headers(scope["headers"], [_TOKEN])
    if turn is not None:
        headers.append((_TOKEN, turn.token.encode()))
        if first_turn is not None:
            turn = dataclasses.replace(turn, on_ready=first_turn.end_soon)
    return {**scope, SCOPE_KEY: turn, "headers": headers}
