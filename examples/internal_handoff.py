"""Background work that joins a conversation without disturbing it.

    pip install . ./plugins/sessionguard-handoff httpx
    python examples/internal_handoff.py

A person talks to an agent. Later a scheduled reflection calls the same guarded app, from the same process, and a
worker elsewhere does so over HTTP. Both get the conversation's session id; its row stays as it was.
"""

from __future__ import annotations

import asyncio
import secrets

import httpx
from sessionguard_handoff import INTERNAL, HandoffPlugin

from sessionguard import SessionGuard, SessionRecord, get_resolution
from sessionguard.asgi import ASGIApp, Receive, Scope, Send
from sessionguard.stores.memory import MemoryStore

TOUCH_INTERVAL = 1.0
CONVERSATION = {"x-openclaw-session-key": "final-1779465436"}
UNKNOWN = {"x-openclaw-session-key": "nobody-has-said-a-word-here"}
WORKER_SECRET = secrets.token_urlsafe(32)

store = MemoryStore()


async def agent(scope: Scope, receive: Receive, send: Send) -> None:
    resolution = get_resolution(scope)
    body = f"{resolution.origin.value:9} {resolution.session_id}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


app = SessionGuard(agent, store=store, touch_interval=TOUCH_INTERVAL, plugins=[HandoffPlugin([WORKER_SECRET])])


async def backstage(scope: Scope, receive: Receive, send: Send) -> None:
    """The entrance for our own background work; no server listens on it."""
    await app({**scope, "sessionguard.handoff": INTERNAL}, receive, send)


async def call(entrance: ASGIApp, headers: dict[str, str]) -> str:
    transport = httpx.ASGITransport(app=entrance)
    async with httpx.AsyncClient(transport=transport, base_url="http://agent") as client:
        response = await client.post("/v1/chat/completions", headers=headers)
        return response.raise_for_status().text


async def reflect(conversation: dict[str, str]) -> str:
    """What a scheduler runs in this process: the mark is an object, there is no secret to keep."""
    return await call(backstage, conversation)


async def reflect_over_http(conversation: dict[str, str]) -> str:
    """What a worker elsewhere sends: the marker, and the secret that proves its right to send it."""
    handoff = {"x-openclaw-session-effects": "internal", "x-openclaw-handoff-token": WORKER_SECRET}
    return await call(app, {**conversation, **handoff})


async def rows() -> list[tuple[str, SessionRecord]]:
    return [pair async for pair in store.scan()]


async def main() -> None:
    print("a person says hello        ", await call(app, CONVERSATION))
    before = await rows()
    print("rows before", before)
    print("a scheduled reflection     ", await reflect(CONVERSATION))
    print("a worker, over HTTP        ", await reflect_over_http(CONVERSATION))
    print("a conversation nobody began", await reflect(UNKNOWN))
    await asyncio.sleep(1.5 * TOUCH_INTERVAL)  # by now a visible request's sign of life would be in its row
    after = await rows()
    print("rows after ", after)
    print("identical" if before == after else "CHANGED")


if __name__ == "__main__":
    asyncio.run(main())
