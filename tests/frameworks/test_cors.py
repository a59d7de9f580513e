"""Browsers: the framework's own CORS behind the guard, and a CORS middleware in front of it."""

from __future__ import annotations

import httpx
from frameworks.journal import Journal
from frameworks.requests import RESERVED, STATUS, new_key

PAGE = {"origin": "https://page.example"}
FRONT = {"origin": "https://front.example"}
"""The origin that the middleware in front knows, and stands in front of; see `fronted_app.py`."""

ASKED = {"access-control-request-method": "GET", "access-control-request-headers": "x-openclaw-session-key"}
ALLOWED_ORIGIN, ALLOWED_HEADERS = "access-control-allow-origin", "access-control-allow-headers"


def test_the_frameworks_own_cors_answers_a_preflight_behind_the_guard(client: httpx.Client, journal: Journal) -> None:
    """The browser is told that it may send a session key; no conversation is begun."""
    response = client.options("/session", headers=PAGE | ASKED)

    assert response.is_success
    assert PAGE["origin"] == response.headers[ALLOWED_ORIGIN]
    assert "x-openclaw-session-key" in response.headers[ALLOWED_HEADERS].lower()
    assert STATUS not in response.headers
    assert "session" not in journal.events


def test_the_request_behind_the_preflight_has_both_headers(client: httpx.Client) -> None:
    """The page may read the answer, and the conversation has an id."""
    response = client.get("/session", headers=new_key() | PAGE)

    assert (PAGE["origin"], "new") == (response.headers[ALLOWED_ORIGIN], response.headers[STATUS])


def test_a_refusal_cannot_be_read_by_the_page_when_cors_stands_behind(client: httpx.Client) -> None:
    """The guard refuses before the application is asked, so no header for the browser was added."""
    response = client.get("/session", headers=RESERVED | PAGE)

    assert 400 == response.status_code
    assert ALLOWED_ORIGIN not in response.headers


def test_cors_in_front_answers_a_preflight_before_the_guard(client: httpx.Client, journal: Journal) -> None:
    """The guard never sees it."""
    response = client.options("/session", headers=FRONT | ASKED)

    assert (200, FRONT["origin"]) == (response.status_code, response.headers[ALLOWED_ORIGIN])
    assert STATUS not in response.headers
    assert "session" not in journal.events


def test_cors_in_front_lets_the_page_read_what_the_guard_says(client: httpx.Client) -> None:
    """The status of an answer, and the reason of a refusal."""
    answer, refusal = (client.get("/session", headers=headers | FRONT) for headers in (new_key(), RESERVED))

    assert "new" == answer.headers[STATUS]
    assert STATUS in answer.headers["access-control-expose-headers"]
    assert [FRONT["origin"]] * 2 == [response.headers[ALLOWED_ORIGIN] for response in (answer, refusal)]
    assert (400, "reserved_session_key") == (refusal.status_code, refusal.json()["error"]["code"])
