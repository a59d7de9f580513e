"""What a refused handoff is told, and what it is not told."""

from __future__ import annotations

import logging
from typing import Any

import pytest

WRONG = "a-token-that-somebody-guessed"


@pytest.fixture
def forged(handoff: dict[str, str]) -> dict[str, str]:
    """A handoff with a token that is not one of ours."""
    return {**handoff, "x-openclaw-handoff-token": WRONG}


async def test_a_refusal_is_an_openai_error(serving: Any, forged: dict[str, str]) -> None:
    """Clients of the OpenAI API find the envelope they know."""
    async with serving() as client:
        response = await client.get("/", headers=forged)

    error = response.json()["error"]
    message = error.pop("message")
    assert {"type": "forbidden", "param": None, "code": "session_forbidden"} == error
    assert "The token in the header x-openclaw-handoff-token is not valid here" in message


async def test_a_refusal_is_a_problem_where_the_client_accepts_one(serving: Any, forged: dict[str, str]) -> None:
    """`Accept: application/problem+json` gets the same answer in its own form."""
    async with serving() as client:
        response = await client.get("/", headers={**forged, "accept": "application/problem+json"})

    problem = response.json()
    assert "application/problem+json" == response.headers["content-type"]
    assert (403, "Forbidden", "session_forbidden") == (problem["status"], problem["title"], problem["code"])
    assert "is not valid here" in problem["detail"]


@pytest.mark.parametrize("accept", ["*/*", "application/problem+json"])
async def test_a_refusal_never_repeats_a_token_or_a_secret(
    serving: Any, secret: str, forged: dict[str, str], caplog: pytest.LogCaptureFixture, accept: str
) -> None:
    """Neither the answer nor the log holds what was sent or what was expected."""
    caplog.set_level(logging.DEBUG)
    async with serving() as client:
        response = await client.get("/", headers={**forged, "accept": accept})

    told = response.text + str(response.headers) + caplog.text
    assert (WRONG in told, secret in told) == (False, False)


async def test_the_application_does_not_see_a_refused_handoff(serving: Any, forged: dict[str, str]) -> None:
    """The answer is the guard's own."""
    async with serving() as client:
        response = await client.get("/", headers=forged)

    assert "headers" not in response.json()


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"x-openclaw-handoff-token": ""}, "is not valid here"),
        ({"x-openclaw-session-effects": "hidden"}, "must be sent once, as internal or visible"),
    ],
)
async def test_a_refusal_says_which_header_is_wrong(
    serving: Any, handoff: dict[str, str], changed: dict[str, str], told: str
) -> None:
    """The message names the header and what belongs into it."""
    async with serving() as client:
        response = await client.get("/", headers={**handoff, **changed})

    message = response.json()["error"]["message"]
    assert told in message
    assert next(iter(changed)) in message


async def test_a_missing_token_is_named(serving: Any, handoff: dict[str, str]) -> None:
    """A caller that forgot the capability learns which header it is."""
    del handoff["x-openclaw-handoff-token"]
    async with serving() as client:
        response = await client.get("/", headers=handoff)

    assert "needs exactly one token in the header x-openclaw-handoff-token" in response.json()["error"]["message"]
