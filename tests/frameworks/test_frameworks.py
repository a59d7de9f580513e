"""What every framework does behind the guard: one suite, and `framework.py` for where one of them differs."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from frameworks.framework import Framework
from live import LiveServer
from websockets.exceptions import InvalidStatus
from websockets.http11 import Response
from websockets.sync.client import connect

if TYPE_CHECKING:
    from frameworks.conftest import Serve

KEY = {"x-openclaw-session-key": "room-1"}
RESERVED = {"x-openclaw-session-key": "cron:nightly"}
FORGED = {"x-openclaw-session-id": "forged", "x_openclaw_session_id": "forged"}
STATUS = "x-sessionguard-status"


def test_every_place_a_handler_looks_in_holds_the_same_id(client: httpx.Client, framework: Framework) -> None:
    """Scope, state and header, each read the framework's own way, agree on one id."""
    seen = client.get("/session", headers=KEY).json()["seen"]

    session_id = str(uuid.UUID(seen["scope"]))
    assert dict.fromkeys(framework.places, session_id) == seen


def test_a_forged_session_id_gives_way_to_the_guards(client: httpx.Client) -> None:
    """With a key, the framework's headers show the guard's id once; the client's copy and its twin are gone."""
    app = client.get("/session", headers=KEY | FORGED).json()

    assert [app["seen"]["scope"]] == _session_id_headers(app)


def test_a_forged_session_id_is_removed_without_a_key(client: httpx.Client) -> None:
    """Without a key the framework's headers show no session id at all."""
    app = client.get("/session", headers=FORGED).json()

    assert [] == _session_id_headers(app)


def test_a_request_without_a_key_passes_unchanged(client: httpx.Client, framework: Framework) -> None:
    """The application gets the headers as sent and no id; the answer has no status header."""
    response = client.get("/session")

    app = response.json()
    assert dict.fromkeys(framework.places) == app["seen"]
    assert dict(response.request.headers) == _headers_but(framework.added_headers, app)
    assert STATUS not in response.headers


async def test_concurrent_requests_for_a_new_key_share_one_id(server: LiveServer) -> None:
    """Of many first requests exactly one is new; all meet the same id."""
    async with httpx.AsyncClient(base_url=server.url, timeout=30, trust_env=False) as client:
        responses = await asyncio.gather(*(client.get("/session", headers=KEY) for _ in range(20)))

    assert 1 == len({response.json()["seen"]["scope"] for response in responses})
    assert 1 == [response.headers[STATUS] for response in responses].count("new")


def test_a_follow_up_meets_the_existing_id(client: httpx.Client) -> None:
    """The second request of a conversation is told so and sees the id of the first."""
    first, second = (client.get("/session", headers=KEY) for _ in range(2))

    assert ("new", "existing") == (first.headers[STATUS], second.headers[STATUS])
    assert first.json()["seen"] == second.json()["seen"]


def test_a_conversation_outlives_the_server(serve: Serve) -> None:
    """A new process finds the row that the old one has written."""
    answers = []
    for _ in range(2):
        with serve() as server:
            answers.append(_keyed_request(server))

    assert ["new", "existing"] == [answer.headers[STATUS] for answer in answers]
    assert answers[0].json()["seen"] == answers[1].json()["seen"]


def test_a_chunk_arrives_before_the_next_is_made(client: httpx.Client) -> None:
    """The second chunk waits for a request that is sent after the first has arrived: buffering would deadlock."""
    with client.stream("GET", "/stream", headers=KEY) as response:
        chunks = response.iter_text()
        first = next(chunks)
        client.get("/release")

        assert ["first", "second"] == [first, *chunks]


def test_a_reserved_key_is_refused_before_the_application(client: httpx.Client, journal: Path) -> None:
    """The client gets the guard's error envelope; the application never hears of the request."""
    response = client.get("/session", headers=RESERVED)

    error = response.json()["error"]
    assert 400 == response.status_code
    assert {"message", "type", "param", "code"} == set(error)
    assert "reserved_session_key" == error["code"]
    assert "session" not in _events(journal)


def test_options_pass_through(client: httpx.Client) -> None:
    """The framework answers OPTIONS as it does without a key, whatever the key is worth."""
    ordinary = client.options("/session")
    with_key = client.options("/session", headers=RESERVED)

    assert "GET" in ordinary.headers["allow"]
    assert _answer(ordinary) == _answer(with_key)
    assert STATUS not in with_key.headers


def test_a_websocket_handler_sees_the_conversations_id(
    server: LiveServer, client: httpx.Client, framework: Framework
) -> None:
    """Where there are WebSocket handlers, they see the id that HTTP requests with that key get, in every place."""
    _, seen = _handshake(server, KEY)

    session_id = client.get("/session", headers=KEY).json()["seen"]["scope"]
    assert dict.fromkeys(framework.websocket_places, session_id) == seen


def test_a_websocket_handshake_carries_the_status(server: LiveServer, framework: Framework) -> None:
    """The handshake response says how the conversation came by its id."""
    response, _ = _handshake(server, KEY)

    assert framework.handshake == (response.status_code, response.headers.get(STATUS))


def test_a_websocket_with_a_reserved_key_is_refused_before_accept(server: LiveServer, journal: Path) -> None:
    """The handshake fails with the same error object as HTTP; the application never hears of it."""
    response, _ = _handshake(server, RESERVED)

    assert 400 == response.status_code
    assert "reserved_session_key" == json.loads(response.body)["error"]["code"]
    assert "websocket" not in _events(journal)


def test_startup_and_shutdown_hooks_run_around_the_requests(serve: Serve, journal: Path, framework: Framework) -> None:
    """The framework's own hooks run under the guard, the last of them on SIGTERM."""
    with serve() as server:
        _keyed_request(server)

    assert [*framework.startup, "session", *framework.shutdown] == _events(journal)


def test_the_server_learns_whether_there_is_a_lifespan(server: LiveServer, framework: Framework) -> None:
    """A framework that refuses the lifespan scope is heard through the guard: the server goes on without one."""
    unsupported = "ASGI 'lifespan' protocol appears unsupported" in server.output

    assert (framework.startup == ()) == unsupported


def test_what_the_application_writes_stays_inside_the_guard(client: httpx.Client) -> None:
    """With a key the application works on a copy: middleware outside sees none of its writes."""
    response = client.get("/mark", headers=KEY)

    assert "" == response.headers["x-outside"]


def test_what_the_application_writes_is_visible_without_a_key(client: httpx.Client, framework: Framework) -> None:
    """Without a key there is no copy: middleware outside sees what this framework writes into a scope."""
    response = client.get("/mark")

    assert framework.scope_writes <= set(response.headers["x-outside"].split())


def test_an_exception_is_the_frameworks_ordinary_500(client: httpx.Client, framework: Framework) -> None:
    """The answer to a failure is the one this framework gives without a key."""
    ordinary = client.get("/crash")
    with_key = client.get("/crash", headers=KEY)

    assert 500 == with_key.status_code
    assert _answer(ordinary) == _answer(with_key)
    assert framework.crash_origin == with_key.headers.get(STATUS)


def test_an_exception_leaves_the_row(client: httpx.Client) -> None:
    """A conversation whose first request failed goes on with the id it was given."""
    client.get("/crash", headers=KEY)

    assert "existing" == client.get("/session", headers=KEY).headers[STATUS]


def _keyed_request(server: LiveServer) -> httpx.Response:
    return httpx.get(f"{server.url}/session", headers=KEY, timeout=30, trust_env=False).raise_for_status()


def _headers_but(added: Collection[str], app: Mapping[str, Any]) -> dict[str, str]:
    return {name.lower(): value for name, value in app["headers"] if name.lower() not in added}


def _session_id_headers(app: Mapping[str, Any]) -> list[str]:
    spellings = ("x-openclaw-session-id", "x_openclaw_session_id")
    return [value for name, value in app["headers"] if name.lower() in spellings]


def _answer(response: httpx.Response) -> tuple[int, str | None, str | None, str]:
    headers = response.headers
    return response.status_code, headers.get("content-type"), headers.get("allow"), response.text


def _events(journal: Path) -> list[str]:
    return journal.read_text().splitlines()


def _handshake(server: LiveServer, headers: Mapping[str, str]) -> tuple[Response, dict[str, str]]:
    """Return the response to the handshake and what the handler saw; nothing when it was never reached."""
    try:
        with connect(f"{server.ws_url}/ws", additional_headers=headers, proxy=None) as socket:
            assert socket.response is not None
            return socket.response, json.loads(socket.recv(timeout=30))
    except InvalidStatus as refusal:
        return refusal.response, {}
