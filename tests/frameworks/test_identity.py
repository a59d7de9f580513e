"""The conversation of a request behind the guard, in every framework; `framework.py` has the differences."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Collection, Mapping
from typing import Any

import httpx
import pytest
from frameworks.framework import Framework
from frameworks.journal import Journal
from frameworks.requests import RESERVED, STATUS, answer, new_key
from live import LiveServer

FORGED = {"x-openclaw-session-id": "forged", "x_openclaw_session_id": "forged"}


@pytest.mark.everywhere
@pytest.mark.parametrize("path", ["/session", "/mounted/session"])
def test_every_place_a_handler_looks_in_holds_the_same_id(
    client: httpx.Client, framework: Framework, path: str
) -> None:
    """Scope, state and header, each read the framework's own way, agree on one id; in a mounted part of it too."""
    seen = client.get(path, headers=new_key()).json()["seen"]

    session_id = str(uuid.UUID(seen["scope"]))
    assert dict.fromkeys(framework.places, session_id) == seen


def test_a_forged_session_id_gives_way_to_the_guards(client: httpx.Client) -> None:
    """With a key, the framework's headers show the guard's id once; the client's copy and its twin are gone."""
    app = client.get("/session", headers=new_key() | FORGED).json()

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


@pytest.mark.everywhere
async def test_concurrent_requests_for_a_new_key_share_one_id(server: LiveServer) -> None:
    """Of many first requests exactly one is new; all meet the same id."""
    key = new_key()
    async with httpx.AsyncClient(base_url=server.url, timeout=30, trust_env=False) as client:
        responses = await asyncio.gather(*(client.get("/session", headers=key) for _ in range(20)))

    assert 1 == len({response.json()["seen"]["scope"] for response in responses})
    assert 1 == [response.headers[STATUS] for response in responses].count("new")


def test_a_follow_up_meets_the_existing_id(client: httpx.Client) -> None:
    """The second request of a conversation is told so and sees the id of the first."""
    key = new_key()
    first, second = (client.get("/session", headers=key) for _ in range(2))

    assert ("new", "existing") == (first.headers[STATUS], second.headers[STATUS])
    assert first.json()["seen"] == second.json()["seen"]


def test_a_reserved_key_is_refused_before_the_application(client: httpx.Client, journal: Journal) -> None:
    """The client gets the guard's error envelope; the application never hears of the request."""
    response = client.get("/session", headers=RESERVED)

    error = response.json()["error"]
    assert 400 == response.status_code
    assert {"message", "type", "param", "code"} == set(error)
    assert "reserved_session_key" == error["code"]
    assert "session" not in journal.events


def test_options_pass_through(client: httpx.Client) -> None:
    """The framework answers OPTIONS as it does without a key, whatever the key is worth."""
    ordinary = client.options("/session")
    with_key = client.options("/session", headers=RESERVED)

    assert answer(ordinary) == answer(with_key)
    assert STATUS not in with_key.headers


def test_a_head_request_belongs_to_its_conversation(client: httpx.Client, framework: Framework) -> None:
    """It is answered as the framework answers it, with how the conversation came by its id, and without a body."""
    key = new_key()
    ordinary = client.head("/session")
    with_key = client.head("/session", headers=key)

    assert framework.head == with_key.status_code
    assert (b"", "new") == (with_key.content, with_key.headers[STATUS])
    assert answer(ordinary) == answer(with_key)
    assert "existing" == client.get("/session", headers=key).headers[STATUS]


def _headers_but(added: Collection[str], app: Mapping[str, Any]) -> dict[str, str]:
    return {name.lower(): value for name, value in app["headers"] if name.lower() not in added}


def _session_id_headers(app: Mapping[str, Any]) -> list[str]:
    spellings = ("x-openclaw-session-id", "x_openclaw_session_id")
    return [value for name, value in app["headers"] if name.lower() in spellings]
