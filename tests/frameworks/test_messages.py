"""Messages through the guard one by one: streams, uploads, WebSockets, work behind the response."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import httpx
import pytest
from frameworks.framework import Framework
from frameworks.journal import Journal
from frameworks.memory import peak_growth
from frameworks.requests import RESERVED, STATUS, handshake, new_key
from live import LiveServer
from servers.server import Server

MEBIBYTE = 1 << 20
UPLOAD = 50 * MEBIBYTE


@pytest.mark.everywhere
def test_a_chunk_arrives_before_the_next_is_made(client: httpx.Client) -> None:
    """The second chunk waits for a request that is sent after the first has arrived: buffering would deadlock."""
    with client.stream("GET", "/stream", headers=new_key()) as response:
        chunks = response.iter_text()
        first = next(chunks)
        client.get("/release")

        assert ["first", "second"] == [first, *chunks]


@pytest.mark.needs("uploads")
def test_an_upload_of_50_mb_is_not_kept_in_memory(
    server: LiveServer, client: httpx.Client, server_kind: Server
) -> None:
    """All of it arrives, and the processes of a server that can stream it grow by less than half of it."""
    with peak_growth(server.process.pid) as growth:
        upload = {**new_key(), "content-length": str(UPLOAD)}
        response = client.post("/upload", headers=upload, content=(bytes(MEBIBYTE) for _ in range(50)))

    client.get("/arrival").raise_for_status()
    assert UPLOAD == response.json()["size"]
    assert "new" == response.headers[STATUS]
    assert (growth() < UPLOAD // 2) is server_kind.streams_uploads


@pytest.mark.everywhere
@pytest.mark.needs("uploads")
def test_a_handler_reads_an_upload_while_it_is_sent(
    client: httpx.Client, framework: Framework, server_kind: Server
) -> None:
    """The rest is sent after the handler has read of it, unless the framework or the server waits for all of it."""
    waits_for_all = not (framework.streams_uploads and server_kind.streams_uploads)
    with ThreadPoolExecutor(1) as pool:
        arrival = pool.submit(client.get, "/arrival")
        content = _in_two_halves(client, arrival, waits_for_all=waits_for_all)
        response = client.post("/upload", headers={**new_key(), "content-length": str(2 * MEBIBYTE)}, content=content)

    assert 2 * MEBIBYTE == response.json()["size"]
    assert 200 == arrival.result().status_code


def _in_two_halves(client: httpx.Client, arrival: Future[httpx.Response], *, waits_for_all: bool) -> Iterator[bytes]:
    yield bytes(MEBIBYTE)
    if waits_for_all:
        client.get("/session")
        assert not arrival.done()
    else:
        arrival.result(30)
    yield bytes(MEBIBYTE)


def test_work_behind_the_response_sees_the_id(client: httpx.Client) -> None:
    """A background task goes on with the session id of the request that has begun it, after it was answered."""
    key = new_key()
    session_id = client.get("/session", headers=key).json()["seen"]["scope"]
    client.get("/background", headers=key).raise_for_status()
    client.get("/release").raise_for_status()

    assert {"session_id": session_id} == client.get("/outcome").json()


@pytest.mark.everywhere
@pytest.mark.needs("websockets")
def test_a_websocket_handler_sees_the_conversations_id(
    server: LiveServer, client: httpx.Client, server_kind: Server, framework: Framework
) -> None:
    """Where there are WebSocket handlers, they see the id that HTTP requests with that key get, in every place.

    The handshake response says how the conversation came by its id, where the server lets headers be added.
    """
    key = new_key()
    response, seen = handshake(server, key)

    session_id = client.get("/session", headers=key).json()["seen"]["scope"]
    has_handlers = bool(framework.websocket_places)
    assert dict.fromkeys(framework.websocket_places, session_id) == seen
    assert has_handlers is (response.status_code == 101)
    assert ("new" if has_handlers and server_kind.adds_to_handshake else None) == response.headers.get(STATUS)


@pytest.mark.everywhere
def test_a_websocket_with_a_reserved_key_is_refused_before_accept(
    server: LiveServer, server_kind: Server, journal: Journal
) -> None:
    """It fails, with the error object that HTTP has where the server can; the application never hears of it."""
    response, _ = handshake(server, RESERVED)

    assert server_kind.refuses_handshakes_with == response.status_code
    if server_kind.refuses_handshakes_with == 400:
        assert "reserved_session_key" == json.loads(response.body)["error"]["code"]
    assert "websocket" not in journal.events
