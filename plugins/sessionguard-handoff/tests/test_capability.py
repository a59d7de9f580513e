"""The headers: which of them make a handoff, which are an ordinary request, and which are refused."""

from __future__ import annotations

from typing import Any

import pytest

SECRET = b"correct-horse-battery-staple"
KEY = (b"x-openclaw-session-key", b"final-1779465436")

Pairs = list[tuple[bytes, bytes]]


def effects(value: bytes, name: bytes = b"x-openclaw-session-effects") -> tuple[bytes, bytes]:
    return name, value


def token(value: bytes = SECRET, name: bytes = b"x-openclaw-handoff-token") -> tuple[bytes, bytes]:
    return name, value


INTERNAL = effects(b"internal")

HANDOFFS: dict[str, Pairs] = {
    "marker and token": [INTERNAL, token()],
    "token first": [token(), INTERNAL],
    "names in mixed case": [
        effects(b"internal", b"X-OpenClaw-Session-Effects"),
        token(name=b"X-OPENCLAW-Handoff-Token"),
    ],
    "spaces and tabs around the values": [effects(b" internal\t"), token(b"\t" + SECRET + b"  ")],
    "the same marker twice": [INTERNAL, INTERNAL, token()],
    "the same token twice": [INTERNAL, token(), token()],
    "a wrong token under the twin's name beside the right one": [
        INTERNAL,
        token(),
        token(b"wrong", b"x_openclaw_handoff_token"),
    ],
}

ORDINARY: dict[str, Pairs] = {
    "neither header": [],
    "a token without the marker": [token()],
    "a wrong token without the marker": [token(b"wrong")],
    "visible": [effects(b"visible")],
    "visible with spaces": [effects(b" visible ")],
    "visible twice": [effects(b"visible"), effects(b"visible")],
    "visible with a token": [effects(b"visible"), token()],
    "the marker's twin with a token": [effects(b"internal", b"x_openclaw_session_effects"), token()],
}

BAD_TOKENS: dict[str, Pairs] = {
    "no token": [],
    "an empty token": [token(b"")],
    "spaces for a token": [token(b"  \t")],
    "a wrong token": [token(b"wrong-horse-battery-staple!!")],
    "the beginning of the secret": [token(SECRET[:-1])],
    "the secret and more": [token(SECRET + b"x")],
    "the secret in capitals": [token(SECRET.upper())],
    "the secret in quotes": [token(b'"' + SECRET + b'"')],
    "the secret as a bearer": [token(b"Bearer " + SECRET)],
    "bytes that are not ASCII": [token(SECRET[:-1] + b"\xe9")],
    "a right and a wrong token": [token(), token(b"wrong")],
    "a right and an empty token": [token(), token(b"")],
    "two tokens on one line": [token(SECRET + b"," + SECRET)],
    "the token's twin": [token(name=b"x_openclaw_handoff_token")],
}

BAD_MARKERS: dict[str, Pairs] = {
    "an empty marker": [effects(b"")],
    "spaces for a marker": [effects(b" ")],
    "an unknown marker": [effects(b"hidden")],
    "a marker that says true": [effects(b"true")],
    "a marker with a capital": [effects(b"Internal")],
    "visible in capitals": [effects(b"VISIBLE")],
    "two markers that disagree": [INTERNAL, effects(b"visible")],
    "visible before internal": [effects(b"visible"), INTERNAL],
    "internal and an empty marker": [INTERNAL, effects(b"")],
    "visible and an empty marker": [effects(b"visible"), effects(b"")],
    "two markers on one line": [effects(b"internal, internal")],
    "a marker with a parameter": [effects(b"internal;q=1")],
    "a marker that is not ASCII": [effects(b"int\xe9rnal")],
}

REFUSED = {
    **{name: [INTERNAL, *pairs] for name, pairs in BAD_TOKENS.items()},
    **{name: [*pairs, token()] for name, pairs in BAD_MARKERS.items()},
}


@pytest.mark.parametrize("pairs", HANDOFFS.values(), ids=HANDOFFS)
async def test_the_marker_with_a_valid_token_is_a_handoff(serving: Any, secret: str, pairs: Pairs) -> None:
    """Case of the names, padding and equal repetitions do not matter."""
    async with serving({"headers": [KEY, *pairs]}) as client:
        response = await client.get("/")

    assert "ephemeral" == response.json()["origin"]


@pytest.mark.parametrize("pairs", ORDINARY.values(), ids=ORDINARY)
async def test_without_the_marker_a_request_is_an_ordinary_one(serving: Any, secret: str, pairs: Pairs) -> None:
    """`visible` is what every request is; a token alone and a header spelled with `_` ask for nothing."""
    async with serving({"headers": [KEY, *pairs]}) as client:
        response = await client.get("/")

    assert "new" == response.json()["origin"]


@pytest.mark.parametrize("key", [[KEY], []], ids=["with a key", "without a key"])
@pytest.mark.parametrize("pairs", REFUSED.values(), ids=REFUSED)
async def test_a_handoff_that_cannot_be_trusted_is_refused(
    serving: Any, secret: str, stored: Any, key: Pairs, pairs: Pairs
) -> None:
    """Doubt about marker or token is a 403 that writes no row, key or no key."""
    async with serving({"headers": [*key, *pairs]}) as client:
        response = await client.get("/")

        assert (403, "session_forbidden") == (response.status_code, response.json()["error"]["code"])
        assert [] == stored()


@pytest.mark.parametrize("pairs", [*HANDOFFS.values(), [INTERNAL]], ids=[*HANDOFFS, "no token"])
async def test_without_a_configured_secret_the_marker_is_refused(serving: Any, pairs: Pairs) -> None:
    """Handoffs over HTTP are off until somebody configures a secret, and the refusal says how."""
    async with serving({"headers": [KEY, *pairs]}) as client:
        response = await client.get("/")

    assert 403 == response.status_code
    assert "configure SESSIONGUARD_HANDOFF_SECRETS" in response.json()["error"]["message"]


@pytest.mark.parametrize("key", [[KEY], []], ids=["with a key", "without a key"])
@pytest.mark.parametrize("pairs", [*HANDOFFS.values(), *ORDINARY.values()], ids=[*HANDOFFS, *ORDINARY])
async def test_both_headers_are_gone_before_the_application_sees_the_request(
    serving: Any, secret: str, key: Pairs, pairs: Pairs
) -> None:
    """Neither the marker nor the capability travels on, however they were spelled."""
    async with serving({"headers": [*key, *pairs]}) as client:
        response = await client.get("/")

    seen = {name.replace("_", "-") for name in response.json()["headers"]}
    assert not {"x-openclaw-session-effects", "x-openclaw-handoff-token"} & seen


async def test_a_handoff_without_a_key_reaches_the_application_as_it_is(serving: Any, secret: str) -> None:
    """There is no conversation to join, so nothing is added."""
    async with serving({"headers": [INTERNAL, token()]}) as client:
        response = await client.get("/")

    assert {"origin": None, "session_id": None, "headers": []} == response.json()
