"""docs/how-to/fastapi-proxy-lib.md and asgiproxy.md, in front of a real server that says what it was sent."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from applications.conftest import Follow, client_of
from live import LiveServer, uvicorn
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

UPSTREAM = """
import json


async def app(scope, receive, send):
    headers = {name.decode(): value.decode() for name, value in scope.get("headers", ())}
    session_id = headers.get("x-openclaw-session-id")
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": json.dumps(session_id)})
    elif scope["type"] == "http":
        size, more = 0, True
        while more:
            message = await receive()
            size, more = size + len(message["body"]), message.get("more_body", False)
        start = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]}
        await send(start)
        await send({"type": "http.response.body", "body": json.dumps([session_id, size]).encode()})
"""


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[LiveServer]:
    (tmp_path / "upstream.py").write_text(UPSTREAM)
    with uvicorn("upstream:app", tmp_path) as server:
        yield server


@pytest.fixture(params=["fastapi-proxy-lib", "asgiproxy"])
def proxy(request: pytest.FixtureRequest, follow: Follow, upstream: LiveServer) -> Iterator[LiveServer]:
    with follow(request.param, instead={"18789": str(upstream.port)}) as server:
        yield server


def test_what_stands_behind_the_proxy_is_told_the_id_and_no_forged_one(proxy: LiveServer) -> None:
    with client_of(proxy) as client:
        first, second = (client.get("/", headers={"x-openclaw-session-id": "forged"}).json()[0] for _ in range(2))

    assert first == second
    assert len(first) == 36


async def test_requests_that_arrive_together_are_one_conversation(proxy: LiveServer) -> None:
    """Eight at once, over two workers."""
    headers = {"x-openclaw-session-key": "my-chat"}
    async with httpx.AsyncClient(base_url=proxy.url, headers=headers, timeout=30, trust_env=False) as client:
        answers = await asyncio.gather(*(client.get("/") for _ in range(8)))

    assert len({answer.json()[0] for answer in answers}) == 1
    assert [answer.headers["x-sessionguard-status"] for answer in answers].count("new") == 1


def test_a_body_arrives_whole(proxy: LiveServer) -> None:
    with client_of(proxy) as client:
        assert client.post("/", content=b"x" * 1_000_000).json()[1] == 1_000_000


@pytest.mark.parametrize("guard", ["", "make_simple_proxy_app"], ids=["guarded", "without the guard"])
def test_the_websockets_of_asgiproxy_close_with_and_without_the_guard(
    guard: str, follow: Follow, upstream: LiveServer
) -> None:
    """So its page says; the day this fails the page may say something better."""
    instead = {"18789": str(upstream.port)}
    if guard:
        instead["SessionGuard(make_simple_proxy_app(ProxyContext(Gateway())))"] = f"{guard}(ProxyContext(Gateway()))"
    with follow("asgiproxy", instead=instead) as proxy, connect(proxy.ws_url, proxy=None) as socket:
        socket.send("Who am I?")
        with pytest.raises(ConnectionClosed):
            socket.recv(30)
