"""The mark in the scope: one object means an internal handoff, and nothing else does."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from sessionguard_handoff import INTERNAL

KEY = {"x-openclaw-session-key": "final-1779465436"}


class EqualToAnything:
    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return hash(INTERNAL)


IMPOSTORS = {
    "text": "INTERNAL",
    "its own name": repr(INTERNAL),
    "the header's value": b"internal",
    "True": True,
    "False": False,
    "an equal object": EqualToAnything(),
    "a copy": copy.copy(INTERNAL),
    "a deep copy": copy.deepcopy(INTERNAL),
    "a pickled twin": pickle.loads(pickle.dumps(INTERNAL)),
    "its class": type(INTERNAL),
}


async def test_the_marker_makes_a_request_internal_without_any_secret(serving: Any) -> None:
    """Trusted code in the same process needs no capability."""
    async with serving({"sessionguard.handoff": INTERNAL}) as client:
        response = await client.get("/", headers=KEY)

    assert "ephemeral" == response.json()["origin"]


@pytest.mark.parametrize("scope", [{}, {"sessionguard.handoff": None}], ids=["absent", "None"])
async def test_a_scope_without_the_marker_is_an_ordinary_request(serving: Any, scope: dict[str, object]) -> None:
    """None counts as absent, so code in front may write `INTERNAL if background else None`."""
    async with serving(scope) as client:
        response = await client.get("/", headers=KEY)

    assert "new" == response.json()["origin"]


@pytest.mark.parametrize("impostor", IMPOSTORS.values(), ids=IMPOSTORS)
async def test_any_other_object_is_an_error_that_says_what_belongs_there(serving: Any, impostor: object) -> None:
    """A mistake in the code in front is neither a handoff nor a visible request."""
    async with serving({"sessionguard.handoff": impostor}) as client:
        response = await client.get("/", headers=KEY)

    error = response.json()["error"]
    assert (500, "policy_failed") == (response.status_code, error["code"])
    assert f"an object of type {type(impostor).__name__}; it must be sessionguard_handoff.INTERNAL" in error["message"]


async def test_a_wrong_object_writes_no_row(serving: Any, stored: Any) -> None:
    """The mistake leaves no conversation behind."""
    async with serving({"sessionguard.handoff": "INTERNAL"}) as client:
        await client.get("/", headers=KEY)

        assert [] == stored()


async def test_a_wrong_object_is_an_error_without_a_key_too(serving: Any) -> None:
    """The mistake shows at the first request, not at the first conversation."""
    async with serving({"sessionguard.handoff": "INTERNAL"}) as client:
        response = await client.get("/")

    assert 500 == response.status_code


async def test_a_marked_request_without_a_key_reaches_the_application_as_it_is(serving: Any) -> None:
    """There is no conversation to join, so nothing is added."""
    async with serving({"sessionguard.handoff": INTERNAL}) as client:
        response = await client.get("/")

    assert (None, None) == (response.json()["origin"], response.json()["session_id"])


async def test_a_visible_header_does_not_overrule_the_marker(serving: Any) -> None:
    """The word of trusted code counts; a client cannot make its request visible again."""
    async with serving({"sessionguard.handoff": INTERNAL}) as client:
        response = await client.get("/", headers={**KEY, "x-openclaw-session-effects": "visible"})

    assert "ephemeral" == response.json()["origin"]


async def test_a_forged_header_is_refused_although_the_scope_is_marked(serving: Any, secret: str) -> None:
    """The marker vouches for the code that set it, not for the headers a client sent through it."""
    async with serving({"sessionguard.handoff": INTERNAL}) as client:
        response = await client.get("/", headers={**KEY, "x-openclaw-session-effects": "internal"})

    assert 403 == response.status_code
