"""docs/how-to/fastapi-proxy-lib.md and asgiproxy.md, in front of a real server that says what it was sent."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from applications.conftest import client_of, follow, new_key
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


@pytest.fixture(scope="module")
def upstream(directory: Path) -> Iterator[LiveServer]:
    (directory / "upstream.py").write_text(UPSTREAM)
    with uvicorn("upstream:app", directory) as server:
        yield server


@pytest.fixture(scope="module")
def asgiproxy(directory: Path, upstream: LiveServer) -> Iterator[LiveServer]:
    with follow("asgiproxy", directory / "asgiproxy", {"18789": str(upstream.port)}) as server:
        yield server


@pytest.fixture(scope="module")
def fastapi_proxy_lib(directory: Path, upstream: LiveServer) -> Iterator[LiveServer]:
    with follow("fastapi-proxy-lib", directory / "fastapi-proxy-lib", {"18789": str(upstream.port)}) as server:
        yield server


@pytest.fixture(params=["asgiproxy", "fastapi_proxy_lib"])
def proxy(request: pytest.FixtureRequest) -> LiveServer:
    """Both of them, one after the other."""
    return request.getfixturevalue(request.param)


def test_what_stands_behind_the_proxy_is_told_the_id_and_no_forged_one(proxy: LiveServer) -> None:
    with client_of(proxy) as client:
        first, second = (client.get("/", headers={"x-openclaw-session-id": "forged"}).json()[0] for _ in range(2))

    assert first == second
    assert len(first) == 36


async def test_requests_that_arrive_together_are_one_conversation(proxy: LiveServer) -> None:
    """Eight at once, over two workers."""
    headers = {"x-openclaw-session-key": new_key()}
    async with httpx.AsyncClient(base_url=proxy.url, headers=headers, timeout=30, trust_env=False) as client:
        answers = await asyncio.gather(*(client.get("/") for _ in range(8)))

    assert len({answer.json()[0] for answer in answers}) == 1
    assert [answer.headers["x-sessionguard-status"] for answer in answers].count("new") == 1


def test_a_body_arrives_whole(proxy: LiveServer) -> None:
    with client_of(proxy) as client:
        assert client.post("/", content=b"x" * 1_000_000).json()[1] == 1_000_000


def test_the_websockets_of_asgiproxy_close_with_and_without_the_guard(
    asgiproxy: LiveServer, upstream: LiveServer, tmp_path: Path
) -> None:
    """So its page says; the day this fails the page may say something better."""
    guard, app = "SessionGuard(make_simple_proxy_app(ProxyContext(Gateway())))", "make_simple_proxy_app"
    instead = {"18789": str(upstream.port), guard: f"{app}(ProxyContext(Gateway()))"}
    with follow("asgiproxy", tmp_path, instead) as unguarded:
        for proxy in (asgiproxy, unguarded):
            with connect(proxy.ws_url, proxy=None) as socket:
                socket.send("Who am I?")
                with pytest.raises(ConnectionClosed):
                    socket.recv(30)
    assert "SessionGuard(" not in (tmp_path / "guarded.py").read_text()
