"""When the upstream fails the client hears so: 502, 504, or a response that is visibly broken."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
from live import free_port

from sessionguard import SessionGuard
from sessionguard.proxy import ReverseProxy

Serve = Callable[..., Awaitable[str]]
Upstream = Any
KEY = "secret-session-key"
KEYED = {"x-openclaw-session-key": KEY}


@contextlib.asynccontextmanager
async def tcp_upstream(answer: bytes) -> AsyncIterator[str]:
    """An upstream that reads the head of a request, sends these bytes and hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the proxy itself has logged; tracebacks count as lines of their own."""
    records = [record for record in caplog.records if record.name == "sessionguard" and record.levelno > logging.INFO]
    return [record.getMessage() if not record.exc_info else "traceback" for record in records]


async def test_an_upstream_that_is_down_is_a_502(serve: Serve, client: httpx.AsyncClient) -> None:
    """The client learns what happened in the envelope its library understands."""
    url = await serve(ReverseProxy(f"http://127.0.0.1:{free_port()}"))

    response = await client.get(url)

    error = response.json()["error"]
    assert (502, "upstream_unreachable", "server_error") == (response.status_code, error["code"], error["type"])


async def test_refusals_are_problems_for_clients_that_ask_for_them(serve: Serve, client: httpx.AsyncClient) -> None:
    """`Accept: application/problem+json` chooses the rendering."""
    url = await serve(ReverseProxy(f"http://127.0.0.1:{free_port()}"))

    response = await client.get(url, headers={"accept": "application/problem+json"})

    problem = response.json()
    assert (502, "upstream_unreachable") == (problem["status"], problem["code"])


BROKEN_HEADS = [b"", b"HTTP/1.1 200 OK\r\nx-half", f"HTTP/1.1 200 OK\r\n{KEY}\r\n\r\n".encode(), b"SSH-2.0-x\r\n\r\n"]


@pytest.mark.parametrize("answer", BROKEN_HEADS)
async def test_an_upstream_that_breaks_before_its_head_is_a_502_and_quoted_nowhere(
    serve: Serve, client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture, answer: bytes
) -> None:
    """One clear line is logged; neither it nor the answer repeats what an upstream may echo."""
    async with tcp_upstream(answer) as upstream_url:
        url = await serve(SessionGuard(ReverseProxy(upstream_url), store="memory:"))
        response = await client.get(url, headers=KEYED)

    lines = [line for line in logged(caplog) if "upstream" in line]
    assert (502, 1) == (response.status_code, len(lines))
    assert upstream_url in lines[0] and "traceback" not in logged(caplog)
    assert KEY not in response.text + caplog.text


@pytest.mark.slow
async def test_an_upstream_that_does_not_begin_its_response_is_a_504(
    serve: Serve, upstream: Upstream, client: httpx.AsyncClient
) -> None:
    """After the first-byte timeout the request is given up on both sides."""
    url = await serve(ReverseProxy(upstream.url, first_byte_timeout=0.2))

    response = await client.get(f"{url}/hang", headers={"x-name": "it"})

    assert (504, "upstream_timeout") == (response.status_code, response.json()["error"]["code"])
    await upstream.wait("it-left")


async def test_an_upstream_that_does_not_accept_is_a_504(serve: Serve, client: httpx.AsyncClient) -> None:
    """A full backlog leaves a connection pending for ever; the connect timeout ends it."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, contextlib.ExitStack() as queue:
        for _ in range(4):
            waiting = queue.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        url = await serve(ReverseProxy(f"http://127.0.0.1:{listener.getsockname()[1]}", connect_timeout=0.2))

        response = await client.get(url)

    assert (504, "upstream_timeout") == (response.status_code, response.json()["error"]["code"])


@pytest.mark.slow
async def test_an_upstream_that_stops_reading_the_upload_is_a_504(serve: Serve, client: httpx.AsyncClient) -> None:
    """An upload that does not move is given up after the first-byte timeout as well."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = await serve(ReverseProxy(f"http://127.0.0.1:{deaf.getsockname()[1]}", first_byte_timeout=0.2))

        response = await client.post(url, content=bytes(50_000_000))

    assert 504 == response.status_code


@pytest.mark.parametrize("framing", ["chunked", "length"])
async def test_a_response_that_breaks_off_is_broken_for_the_client_too(
    serve: Serve, upstream: Upstream, client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture, framing: str
) -> None:
    """The client gets what had come and then an error, never an end; the log gets one line."""
    url = await serve(SessionGuard(ReverseProxy(upstream.url), store="memory:"))
    received = b""

    with pytest.raises(httpx.RemoteProtocolError):
        async with client.stream("GET", f"{url}/broken?{framing}", headers=KEYED) as response:
            async for chunk in response.aiter_raw():
                received += chunk

    lines = [line for line in logged(caplog) if "upstream" in line]
    assert b"the beginning" == received
    assert [f"the upstream {upstream.url} broke off in mid-response: RemoteProtocolError"] == lines
    assert "Traceback" not in caplog.text and KEY not in caplog.text


async def test_an_error_of_the_upstream_is_passed_on_as_it_is(
    serve: Serve, upstream: Upstream, client: httpx.AsyncClient
) -> None:
    """A status the upstream chose is not the proxy's business."""
    url = await serve(ReverseProxy(upstream.url))

    response = await client.get(f"{url}/status?503")

    assert (503, b"", '"1"') == (response.status_code, response.content, response.headers["etag"])


async def test_the_proxy_recovers_when_the_upstream_does(
    serve: Serve, upstream: Upstream, client: httpx.AsyncClient
) -> None:
    """A broken response spoils nothing for the requests after it."""
    url = await serve(ReverseProxy(upstream.url))

    with pytest.raises(httpx.RemoteProtocolError):
        await client.get(f"{url}/broken")
    response = await client.get(f"{url}/things")

    assert "/things" == response.json()["target"]
