"""TurnGate: find out how a request takes its turn, wait for it, run the application, hand the turn on."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any

from sessionguard import ConfigurationError, GuardSettings, Origin, Refusal, Resolution, SessionStore, asgi
from sessionguard.hookspecs import HookImplementation
from sessionguard.observers import observer
from sessionguard.policy import Hooks, first_answer, nonsense
from sessionguard.store import wall_clock
from sessionguard_turns.answer import Answer
from sessionguard_turns.busy import SessionBusy
from sessionguard_turns.lane import Holding, Place
from sessionguard_turns.readahead import ReadAhead
from sessionguard_turns.settings import Mode, TurnSettings
from sessionguard_turns.turn import SCOPE_KEY, TOKEN_HEADER
from sessionguard_turns.turnstile import Turnstile
from sessionguard_turns.waiting import ClientLeft, complain_of, wait

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from sessionguard_turns.settings import TurnOptions

REQUESTS = ("http", "websocket")
PRIVATE = (Origin.EPHEMERAL, Origin.DEGRADED)

_TOKEN = TOKEN_HEADER.encode()


class TurnGate:
    """ASGI middleware behind a `SessionGuard`: one turn of a conversation at a time.

    `app` is any ASGI application; the options are the fields of `TurnSettings`, and whatever is not given is taken
    from the environment. Raises ConfigurationError. Attributes the gate does not have are those of `app`.
    """

    def __init__(self, app: Callable[..., Any], **options: Unpack[TurnOptions]) -> None:
        self._wrapped = app
        self._app = asgi.single_callable(app)
        self._settings = settings = TurnSettings.load(options, os.environ)
        self._turnstile = Turnstile(
            queue_limit=settings.queue_limit, total_limit=settings.total_limit, window=settings.wait_timeout
        )
        self._mode_hooks: Sequence[HookImplementation] = ()
        self._tell_waited: Callable[..., None] | None = None
        self._tell_refused: Callable[..., None] | None = None

    def connect(self, settings: GuardSettings, store: SessionStore, hooks: Hooks) -> None:
        """Take the guard's plugins into account; raises ConfigurationError for a deployment this gate cannot serve."""
        if settings.coordination not in (None, "process") and self._settings.modes != {Mode.OFF}:
            raise ConfigurationError(
                f"SESSIONGUARD_COORDINATION asks for {settings.coordination}, but turns are kept within one process;"
                " serve with one worker, or set SESSIONGUARD_TURNS_MODE=off"
            )
        self._mode_hooks = hooks["sessionguard_turn_mode"]
        self._tell_waited = observer("sessionguard_turn_waited", hooks["sessionguard_turn_waited"])
        self._tell_refused = observer("sessionguard_request_refused", hooks["sessionguard_request_refused"])

    async def __call__(self, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        resolution = scope.get("sessionguard")
        # A gate further out that has spoken is not contradicted: the inner one would wait for the outer one's turn.
        if scope["type"] not in REQUESTS or not isinstance(resolution, Resolution) or SCOPE_KEY in scope:
            await self._app(scope, receive, send)
            return
        try:
            mode = self._mode_of(scope, resolution)
        except Refusal as error:
            await self._refuse(scope, send, error)
            return
        if mode is Mode.OFF or (mode is Mode.FIRST and not self._is_young(resolution)):
            await self._app(scope, receive, send)
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

    def _is_young(self, resolution: Resolution) -> bool:
        started = resolution.session_started_at
        return started is not None and wall_clock() - started < 1000 * self._settings.wait_timeout

    async def _take_turn(
        self, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send, resolution: Resolution, mode: Mode
    ) -> None:
        arrived = monotonic()
        tokens = {value.decode("latin-1") for value in asgi.header_values(scope, _TOKEN)}
        ahead = ReadAhead(receive)
        try:
            holding = await self._admit(resolution, mode, tokens, ahead)
        except SessionBusy as error:
            self._note(scope, "busy", arrived)
            await self._refuse(scope, Answer(send, monotonic() - arrived), error)
            return
        except ClientLeft:
            self._note(scope, "left", arrived)
            return
        except BaseException:
            self._note(scope, "left", arrived)
            raise
        try:
            self._note(scope, "nested" if holding and holding.turn.token in tokens else "admitted", arrived)
            settle = None
            if holding is not None and self._is_young(resolution):
                settle = functools.partial(self._turnstile.settle, resolution.session_id, holding)
            answer = Answer(send, monotonic() - arrived, settle)
            await self._app(_scope_of(scope, holding), ahead.receive, answer)
        finally:
            if holding is not None:
                self._turnstile.leave(resolution.session_id, holding)
            ahead.close()

    async def _admit(self, resolution: Resolution, mode: Mode, tokens: set[str], ahead: ReadAhead) -> Holding | None:
        """Return the turn that has come, None where none is needed; raises SessionBusy, or ClientLeft."""
        conversation = resolution.session_id
        entered = self._turnstile.enter(conversation, mode, tokens)
        if not isinstance(entered, Place):
            return entered
        complain = functools.partial(self._complain, conversation, entered)
        try:
            in_time = await wait(entered, ahead, self._deadline(entered, resolution), complain)
        except BaseException:
            self._give_up(conversation, entered, ahead)
            raise
        if in_time:
            return entered.holding
        if not entered.brief:
            self._give_up(conversation, entered, ahead)
            raise SessionBusy(_lost(tokens), self._turnstile.retry_after(conversation))
        self._turnstile.give_up(conversation, entered)
        return None

    def _give_up(self, conversation: str, place: Place, ahead: ReadAhead) -> None:
        self._turnstile.give_up(conversation, place)
        ahead.close()

    def _deadline(self, place: Place, resolution: Resolution) -> float:
        """Return until when to wait; who waits for a new conversation waits until it is not new any more."""
        seconds = self._settings.wait_timeout
        if place.brief and resolution.session_started_at is not None:
            seconds = min(seconds, seconds - (wall_clock() - resolution.session_started_at) / 1000)
        return place.since + seconds

    def _complain(self, conversation: str, place: Place) -> None:
        position, held = self._turnstile.position(conversation, place)
        complain_of(conversation, position, monotonic() - place.since, held)

    def _note(self, scope: asgi.Scope, outcome: str, arrived: float) -> None:
        if self._tell_waited is not None:
            self._tell_waited(scope, outcome, monotonic() - arrived)

    async def _refuse(self, scope: asgi.Scope, send: asgi.Send, error: Refusal) -> None:
        if self._tell_refused is not None:
            self._tell_refused(scope, error)
        await asgi.refuse(scope, send, error)


def _scope_of(scope: asgi.Scope, holding: Holding | None) -> asgi.Scope:
    headers = asgi.without_headers(scope["headers"], [_TOKEN])
    turn = None if holding is None else holding.turn
    if turn is not None:
        headers.append((_TOKEN, turn.token.encode()))
    return {**scope, SCOPE_KEY: turn, "headers": headers}


def _lost(tokens: set[str]) -> str:
    if tokens:
        return (
            f"The header {TOKEN_HEADER} belongs to no turn under way in this conversation, and waiting for one took too"
            " long; if the turn that made this call is over, leave the header out."
        )
    return (
        "The turn under way in this conversation took too long; try again later. If that turn made this call, it must"
        f" send its header {TOKEN_HEADER} with it."
    )
