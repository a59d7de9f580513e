"""A client of a guard that writes down what it asks and which id it is given."""

from __future__ import annotations

from sessionguard.asgi import Message, Receive, Scope, Send
from sessionguard.errors import StoreRetired, StoreUnavailable
from sessionguard.hookspecs import hookimpl
from sessionguard.middleware import SessionGuard
from sessionguard.store import SessionStore
from sessionguard.testing.history import Recorder
from sessionguard.testing.probe import Exchange

INTERNAL = b"x-internal"


class Handoffs:
    """Lets a test say by a header that a request is an internal handoff."""

    @hookimpl
    def sessionguard_suppress_visible_effects(self, scope: Scope) -> bool | None:
        return INTERNAL in dict(scope["headers"]) or None


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the id and its origin as headers."""
    if scope["type"] == "lifespan":
        while await _lives_on(receive, send):
            pass
        return
    resolution = scope["sessionguard"]
    headers = [(b"id", resolution.session_id.encode()), (b"origin", resolution.origin.value.encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body"})


async def _lives_on(receive: Receive, send: Send) -> bool:
    kind = (await receive())["type"]
    await send({"type": f"{kind}.complete"})
    return bool(kind == "lifespan.startup")


class RecordingClient:
    """Asks a guard on `store`, whose sessions end after `idle` seconds without use.

    What is answered 503 stays open in the history; any other failure is raised.
    """

    def __init__(self, store: SessionStore, recorder: Recorder, *, idle: float) -> None:
        plugins = [Handoffs()]
        self._guard = SessionGuard(application, store=store, reset=f"idle={idle:g}s", touch_interval=1, plugins=plugins)
        self._recorder = recorder

    async def resolve(self, key: str) -> str | None:
        """Return the id of the conversation, None if the guard could not tell."""
        return await self._ask(key, "resolve", [])

    async def hand_off(self, key: str) -> str | None:
        """Return the id an internal handoff gets, None if the guard could not tell."""
        return await self._ask(key, "hand_off", [(INTERNAL, b"1")])

    async def reset(self, key: str) -> str | None:
        """Return the new id of the conversation, None if the guard could not tell."""
        number = self._recorder.begin(key, "reset")
        try:
            resolution = await self._guard.reset(key)
        except (StoreRetired, StoreUnavailable):
            return None
        self._recorder.end(number, [resolution.session_id, resolution.origin.value])
        return resolution.session_id

    async def leave(self) -> None:
        """Shut the guard down as a server does: signs of life are written, the store is closed."""
        messages: list[Message] = [{"type": "lifespan.shutdown"}, {"type": "lifespan.startup"}]

        async def receive() -> Message:
            return messages.pop()

        async def send(message: Message) -> None:
            assert message["type"].endswith(".complete"), message

        await self._guard({"type": "lifespan", "asgi": {"version": "3.0"}}, receive, send)

    async def _ask(self, key: str, verb: str, headers: list[tuple[bytes, bytes]]) -> str | None:
        number = self._recorder.begin(key, verb)
        exchange = await Exchange(self._guard, [(b"x-openclaw-session-key", key.encode()), *headers]).run()
        if exchange.status == 503:
            return None
        if exchange.status != 200:
            raise AssertionError(f"{verb} of {key} was answered {exchange.sent}")
        self._recorder.end(number, [exchange.headers["id"], exchange.headers["origin"]])
        return exchange.headers["id"]
