"""Both bodies are streamed: nothing waits for more to come, nothing is collected, and leaving ends it at once."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import Any

import httpx
import pytest

from sessionguard.proxy import ReverseProxy

Serve = Callable[..., Awaitable[str]]
Upstream = Any
PATIENCE = 20.0
MEGABYTE = 1_048_576
SIZE = 50


def http_scope(path: str, **changes: Any) -> dict[str, Any]:
    """Return the scope of a request named `it`."""
    scope = {"type": "http", "http_version": "1.1", "method": "POST", "path": path, "query_string": b""}
    return {**scope, "headers": [(b"x-name", b"it"), (b"transfer-encoding", b"chunked")], **changes}


class DirectClient:
    """The client's end of a direct call: it sends a part when asked for one, then stays until it leaves."""

    def __init__(self, parts: Iterable[bytes] = (), *, complete: bool = True) -> None:
        self.sent: list[dict[str, Any]] = []
        self.left = asyncio.Event()
        self._messages = self._request(parts, complete)

    async def receive(self) -> dict[str, Any]:
        message = next(self._messages, None)
        if message is None:
            await self.left.wait()
            return {"type": "http.disconnect"}
        return message

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    def _request(self, parts: Iterable[bytes], complete: bool) -> Iterator[dict[str, Any]]:
        for part in parts:
            yield {"type": "http.request", "body": part, "more_body": True}
        if complete:
            yield {"type": "http.request"}


@contextlib.contextmanager
def traced_memory() -> Iterator[Callable[[], int]]:
    """Give a reading of the most memory, in bytes, that was held at any moment since the start."""
    tracemalloc.start()
    try:
        yield lambda: tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("headers", [{}, {"content-length": "10"}])
async def test_the_upstream_reads_the_first_part_before_the_client_has_sent_the_last(
    serve: Serve, upstream: Upstream, client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    """The second part is sent only when the upstream has the first: a buffering proxy would never finish."""
    url = await serve(ReverseProxy(upstream.url))

    async def parts() -> AsyncIterator[bytes]:
        yield b"first"
        await upstream.wait("it-part")
        yield b"-last"

    response = await client.post(url, content=parts(), headers={"x-name": "it", **headers})

    assert hashlib.sha256(b"first-last").hexdigest() == response.json()["sha256"]


async def test_events_reach_the_client_the_moment_they_are_sent(
    serve: Serve, upstream: Upstream, client: httpx.AsyncClient
) -> None:
    """The upstream sends the second event only when the client has the first."""
    url = await serve(ReverseProxy(upstream.url))

    async with client.stream("GET", f"{url}/events", headers={"x-name": "it"}) as response:
        events = response.aiter_raw()
        first = await anext(events)
        await upstream.set("it-go")
        second = b"".join([event async for event in events])

    assert (b"data: 1\n\n", b"data: 2\n\n") == (first, second)


FIRST_BYTE_SECONDS = 1.5
"""Long enough for an answer on a busy machine, since the answers of these tests have to meet it."""


@pytest.mark.slow
async def test_a_silent_stream_outlives_the_first_byte_timeout(
    serve: Serve, upstream: Upstream, client: httpx.AsyncClient
) -> None:
    """While the stream is silent another request runs into that timeout, which proves that the time has passed."""
    url = await serve(ReverseProxy(upstream.url, first_byte_timeout=FIRST_BYTE_SECONDS))

    async with client.stream("GET", f"{url}/events", headers={"x-name": "it"}) as response:
        events = response.aiter_raw()
        await anext(events)
        slow = await client.get(f"{url}/hang")
        await upstream.set("it-go")
        rest = b"".join([event async for event in events])

    assert (504, b"data: 2\n\n") == (slow.status_code, rest)


@pytest.mark.slow
async def test_a_slow_upload_outlives_the_first_byte_timeout(
    serve: Serve, upstream: Upstream, client: httpx.AsyncClient
) -> None:
    """The upstream's time begins when the request is complete."""
    url = await serve(ReverseProxy(upstream.url, first_byte_timeout=FIRST_BYTE_SECONDS))

    async def parts() -> AsyncIterator[bytes]:
        yield b"first"
        slow = await client.get(f"{url}/hang")
        yield str(slow.status_code).encode()

    response = await client.post(url, content=parts())

    assert hashlib.sha256(b"first504").hexdigest() == response.json()["sha256"]


async def test_a_large_upload_is_never_held_in_memory(upstream: Upstream) -> None:
    """50 MB pass in parts of one; at no moment are there more than a few."""
    client = DirectClient(bytes(MEGABYTE) for _ in range(SIZE))

    async with contextlib.aclosing(ReverseProxy(upstream.url)) as proxy:
        with traced_memory() as peak:
            await asyncio.wait_for(proxy(http_scope("/upload"), client.receive, client.send), PATIENCE)

            assert peak() < SIZE * MEGABYTE / 4

    assert SIZE * MEGABYTE == (await upstream.last())["size"]


async def test_a_large_download_is_never_held_in_memory(upstream: Upstream) -> None:
    """50 MB pass as they come."""
    client, size = DirectClient(), 0

    async def count(message: dict[str, Any]) -> None:
        nonlocal size
        size += len(message.get("body", b""))

    async with contextlib.aclosing(ReverseProxy(upstream.url)) as proxy:
        with traced_memory() as peak:
            scope = http_scope("/download", query_string=str(SIZE).encode())
            await asyncio.wait_for(proxy(scope, client.receive, count), PATIENCE)

            assert peak() < SIZE * MEGABYTE / 4

    assert SIZE * MEGABYTE == size


async def test_a_client_that_takes_nothing_is_still_seen_to_leave(upstream: Upstream) -> None:
    """A response that is stuck in the client's connection does not keep the proxy from watching it."""
    client, stuck = DirectClient(), asyncio.Event()

    async def take_nothing(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.body":
            stuck.set()
            await asyncio.Future()

    async with contextlib.aclosing(ReverseProxy(upstream.url)) as proxy:
        answering = asyncio.create_task(proxy(http_scope("/endless"), client.receive, take_nothing))
        await asyncio.wait_for(stuck.wait(), PATIENCE)
        client.left.set()
        await asyncio.wait_for(answering, PATIENCE)
        await upstream.wait("it-left")


LEAVING = [
    ("waiting for the head", "/hang", True),
    ("in the download", "/events", True),
    ("in the upload", "/upload", False),
]


@pytest.mark.parametrize(("path", "complete"), [case[1:] for case in LEAVING], ids=[case[0] for case in LEAVING])
async def test_a_client_that_leaves_cancels_the_request_upstream(upstream: Upstream, path: str, complete: bool) -> None:
    """The upstream notices, the proxy returns without an error, and no task is left."""
    client = DirectClient([b"part"], complete=complete)
    before = asyncio.all_tasks()

    async with contextlib.aclosing(ReverseProxy(upstream.url)) as proxy:
        answering = asyncio.create_task(proxy(http_scope(path), client.receive, client.send))
        await upstream.wait("it-part")
        client.left.set()
        await asyncio.wait_for(answering, PATIENCE)
        await upstream.wait("it-left")

    assert before == asyncio.all_tasks()


@pytest.mark.parametrize("path", ["/hang", "/events"])
async def test_a_cancelled_application_cancels_the_request_upstream(upstream: Upstream, path: str) -> None:
    """A server that cancels the task gets its CancelledError, and the upstream notices."""
    client = DirectClient([b"part"])
    before = asyncio.all_tasks()

    async with contextlib.aclosing(ReverseProxy(upstream.url)) as proxy:
        answering = asyncio.create_task(proxy(http_scope(path), client.receive, client.send))
        await upstream.wait("it-part")
        answering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await answering
        await upstream.wait("it-left")

    assert before == asyncio.all_tasks()


async def test_a_client_that_closes_its_socket_cancels_the_request_upstream(
    serve: Serve, upstream: Upstream, client: httpx.AsyncClient
) -> None:
    """The same over a real socket, in the middle of a stream."""
    url = await serve(ReverseProxy(upstream.url))

    async with client.stream("GET", f"{url}/events", headers={"x-name": "it"}) as response:
        await anext(response.aiter_raw())

    await upstream.wait("it-left")


async def test_a_server_that_reports_the_departure_by_an_error_hears_of_it_and_the_upstream_too(
    upstream: Upstream,
) -> None:
    """Newer servers raise OSError from `send`; it is passed on, and the request is over."""
    client = DirectClient()

    async def fail(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.body":
            raise OSError("the client has gone")

    async with contextlib.aclosing(ReverseProxy(upstream.url)) as proxy:
        with pytest.raises(OSError, match="gone"):
            await asyncio.wait_for(proxy(http_scope("/events"), client.receive, fail), PATIENCE)
        await upstream.wait("it-left")
