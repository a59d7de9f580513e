"""An agent whose turns end when the test says so, and callers whose every message is the test's to send."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

from sessionguard_turns import TurnGate, get_turn

from sessionguard import SessionGuard
from sessionguard.asgi import ASGIApp, Message, Receive, Scope, Send

KEY = "x-openclaw-session-key"


class Agent:
    """Does what the last part of the path says, and keeps who was inside, in which order, and how many at once."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.bodies: dict[str, bytes] = {}
        self.scopes: dict[str, Scope] = {}
        self.most: Counter[str] = Counter()
        self.most_before_sign: Counter[str] = Counter()
        self.together: dict[str, set[str]] = {}
        self._turns: dict[str, list[str]] = {}
        self._known: set[str] = set()
        self._inside: Counter[str] = Counter()
        self._began: dict[str, asyncio.Event] = {}
        self._may_end: dict[str, asyncio.Event] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return
        name = scope["path"].rpartition("/")[2]
        session_id = scope.get("session_id", "")
        self.order.append(name)
        self.scopes[name] = scope
        self._inside[session_id] += 1
        self._look(session_id, scope)

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.body" and not message.get("more_body"):
                self._known |= {session_id} if not name.startswith("bad") else set()
            await send(message)

        try:
            await self._serve(name, scope, receive, watched)
        finally:
            self._inside[session_id] -= 1
            self._turns[session_id].remove(_token(scope))

    def _look(self, session_id: str, scope: Scope) -> None:
        """Keep how full it was when it was fullest: of requests, of turns, and before the agent knew the session."""
        self.most[session_id] = max(self.most[session_id], self._inside[session_id])
        turns = self._turns.setdefault(session_id, [])
        turns.append(_token(scope))
        if len(set(turns)) >= len(self.together.get(session_id, ())):
            self.together[session_id] = set(turns)
        if session_id not in self._known:
            self.most_before_sign[session_id] = max(self.most_before_sign[session_id], len(set(turns)))

    async def _serve(self, name: str, scope: Scope, receive: Receive, send: Send) -> None:
        _event(self._began, name).set()
        if name.startswith("head"):
            await send({"type": "http.response.start", "status": 200, "headers": []})
        await _event(self._may_end, name).wait()
        if name.startswith("leaves"):
            return
        if name.startswith("fail"):
            raise RuntimeError(name)
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.send", "text": name})
            await send({"type": "websocket.close", "code": 1000})
            return
        self.bodies[name] = await whole_body(receive)
        if not name.startswith("head"):
            status = 500 if name.startswith("bad") else 204 if name.startswith("empty") else 200
            headers = [(b"X-SessionGuard-Ready", b"1")] if name.startswith("stream-ready") else []
            await send({"type": "http.response.start", "status": status, "headers": headers})
        if name.startswith(("head", "stream")):
            await send({"type": "http.response.body", "body": b"", "more_body": True})
            await _event(self._may_end, f"{name} speaks").wait()
            await send({"type": "http.response.body", "body": b"first", "more_body": True})
            await _event(self._may_end, f"{name} ends").wait()
        await send({"type": "http.response.body", "body": b"" if name.startswith("empty") else name.encode()})

    async def has(self, name: str) -> None:
        """Wait until the request has reached the application."""
        await asyncio.wait_for(_event(self._began, name).wait(), 10)

    def let_go(self, *names: str) -> None:
        """Let requests go on that have reached the application, or will."""
        for name in names:
            _event(self._may_end, name).set()

    @property
    def is_empty(self) -> bool:
        return not any(self._inside.values())


def _token(scope: Scope) -> str:
    """What tells the turns apart; requests without one are all different."""
    turn = get_turn(scope)
    return str(id(scope)) if turn is None else turn.token


def _event(events: dict[str, asyncio.Event], name: str) -> asyncio.Event:
    return events.setdefault(name, asyncio.Event())


async def whole_body(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


class Caller:
    """One request that is under way."""

    def __init__(self, app: ASGIApp, name: str, key: str | None, headers: dict[str, str], **scope: Any) -> None:
        given = {**headers, **({KEY: key} if key else {})}
        self.sent: list[Message] = []
        self.arrived: asyncio.Queue[Message] = asyncio.Queue()
        self.scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "method": "POST",
            "path": f"/{name}",
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in given.items()],
            **scope,
        }
        self.task = asyncio.ensure_future(self._run(app))

    async def _run(self, app: ASGIApp) -> None:
        async def send(message: Message) -> None:
            self.sent.append(message)

        await app(self.scope, self.arrived.get, send)

    def body(self, *parts: bytes, end: bool = True) -> Caller:
        """Send parts of the body, the last of them its end."""
        for number, part in enumerate(parts, start=1):
            self.arrived.put_nowait(
                {"type": "http.request", "body": part, "more_body": not (end and number == len(parts))}
            )
        return self

    def leave(self) -> None:
        self.arrived.put_nowait({"type": f"{self.scope['type']}.disconnect"})

    async def answered(self) -> Caller:
        await asyncio.wait_for(asyncio.shield(self.task), 10)
        return self

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.sent[0]["headers"]}

    @property
    def content(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)

    @property
    def error(self) -> dict[str, Any]:
        return dict(json.loads(self.content)["error"])


class Stage:
    """A guard with a gate, and the agent behind them."""

    def __init__(
        self, agent: Agent, *, plugins: tuple[object, ...] = (), store: Any = "memory:", **options: Any
    ) -> None:
        self.agent = agent
        self.gate = TurnGate(agent, **options)
        self.guard = SessionGuard(self.gate, store=store, plugins=plugins)

    def post(self, name: str, key: str | None = "a", body: bytes | None = b"", **options: Any) -> Caller:
        """Begin a request; with `body=None` it is the test's to send."""
        caller = Caller(self.guard, name, key, options.pop("headers", {}), **options)
        if caller.scope["type"] == "websocket":
            caller.arrived.put_nowait({"type": "websocket.connect"})
        return caller if body is None else caller.body(body)

    async def running(self, name: str, key: str | None = "a", **options: Any) -> Caller:
        """Begin a request and wait until it has reached the agent."""
        caller = self.post(name, key, **options)
        await self.agent.has(name)
        return caller

    async def waiting(self, name: str, key: str | None = "a", **options: Any) -> Caller:
        """Begin a request and let it come as far as it gets by itself."""
        caller = self.post(name, key, **options)
        await settled()
        return caller

    async def established(self, key: str = "a") -> None:
        """Let the conversation be old news to the gate."""
        self.agent.let_go("established")
        await self.post("established", key).answered()
        self.agent.order.clear()
        self.agent.most.clear()

    async def when_established(self) -> None:
        """Wait until the gate knows a conversation as established."""
        async with asyncio.timeout(10):
            while not self.gate._entrance.established:
                await asyncio.sleep(0)

    @property
    def turn(self):
        """The turn of the request that reached the agent last."""
        return get_turn(self.agent.scopes[self.agent.order[-1]])


async def settled() -> None:
    """Let everything happen that waits for nothing but its turn at the event loop."""
    for _ in range(30):
        await asyncio.sleep(0)
