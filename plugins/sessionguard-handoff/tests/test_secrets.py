"""The secrets: where they come from, what they may look like, and how one takes over from another."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Any
from unittest.mock import Mock, call

import pytest
from sessionguard_handoff import HandoffPlugin

from sessionguard import ConfigurationError, SessionGuard

VARIABLE = "SESSIONGUARD_HANDOFF_SECRETS"
OLD, NEW, UNKNOWN = "the-secret-of-last-year", "the-secret-of-this-year", "the-secret-of-nobody"

BAD = {
    "too short": "fifteen-chars-x",
    "two words": "two words are not one header value",
    "not ASCII": "sécurité-sécurité-sécurité",
    "a control character": "sixteen-characters\x7f",
}


def asking(token: str) -> dict[str, str]:
    return {
        "x-openclaw-session-key": "final-1779465436",
        "x-openclaw-session-effects": "internal",
        "x-openclaw-handoff-token": token,
    }


@pytest.mark.parametrize("text", [f"{OLD},{NEW}", f" {OLD} , {NEW} ", f"{NEW},{OLD}"])
@pytest.mark.parametrize(("token", "status"), [(OLD, 200), (NEW, 200), (UNKNOWN, 403)])
async def test_the_environment_may_hold_several_secrets(
    serving: Any, monkeypatch: pytest.MonkeyPatch, text: str, token: str, status: int
) -> None:
    """While secrets are rotated, callers may use the old one or the new one."""
    monkeypatch.setenv(VARIABLE, text)
    async with serving() as client:
        response = await client.get("/", headers=asking(token))

    assert status == response.status_code


async def test_both_secrets_at_once_are_refused(serving: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two tokens are one too many, even if either alone would do; nobody honest has both to send."""
    monkeypatch.setenv(VARIABLE, f"{OLD},{NEW}")
    second = (b"x-openclaw-handoff-token", NEW.encode())
    headers = [(name.encode(), value.encode()) for name, value in asking(OLD).items()]
    async with serving({"headers": [*headers, second]}) as client:
        response = await client.get("/")

    assert 403 == response.status_code


async def test_a_secret_that_was_rotated_out_is_refused(serving: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next start with the new secret alone ends the old one."""
    monkeypatch.setenv(VARIABLE, NEW)
    async with serving() as client:
        response = await client.get("/", headers=asking(OLD))

    assert 403 == response.status_code


async def test_every_secret_is_compared_in_constant_time(serving: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A match does not end the comparison, so its time does not tell which secret it was."""
    compare = Mock(wraps=hmac.compare_digest)
    monkeypatch.setattr(hmac, "compare_digest", compare)
    async with serving(plugins=[HandoffPlugin([OLD, NEW])]) as client:
        await client.get("/", headers=asking(OLD))

    assert [call(OLD.encode(), OLD.encode()), call(OLD.encode(), NEW.encode())] == compare.call_args_list


@pytest.mark.parametrize(("token", "status"), [(NEW, 200), (OLD, 403)])
async def test_secrets_given_as_an_argument_replace_those_of_the_environment(
    serving: Any, monkeypatch: pytest.MonkeyPatch, token: str, status: int
) -> None:
    """A plugin object that was handed to the guard takes the installed one's place."""
    monkeypatch.setenv(VARIABLE, OLD)
    async with serving(plugins=[HandoffPlugin([NEW])]) as client:
        response = await client.get("/", headers=asking(token))

    assert status == response.status_code


async def test_an_empty_list_switches_handoffs_over_http_off(serving: Any, secret: str) -> None:
    """No secrets is a legal argument, whatever the environment says."""
    async with serving(plugins=[HandoffPlugin([])]) as client:
        response = await client.get("/", headers=asking(secret))

    assert 403 == response.status_code


async def test_the_environment_is_read_when_the_guard_is_built(serving: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A later change of the environment changes nothing."""
    monkeypatch.setenv(VARIABLE, OLD)
    async with serving() as client:
        monkeypatch.setenv(VARIABLE, NEW)
        response = await client.get("/", headers=asking(OLD))

    assert 200 == response.status_code


@pytest.mark.parametrize("text", ["", " ", ",", f"{OLD},", f",{OLD}", f"{OLD},,{NEW}", *BAD.values()])
def test_an_illegal_variable_stops_the_start(agent: Any, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """The error names the variable, the entry and the cure, and shows no secret."""
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(ConfigurationError, match=rf"{VARIABLE}: entry \d of \d.*token_urlsafe\(32\)") as caught:
        SessionGuard(agent, store="memory:")

    secrets = [entry for entry in text.split(",") if entry.strip()]
    assert not [entry for entry in secrets if entry in str(caught.value)]


@pytest.mark.parametrize("secrets", [[""], [OLD, ""], [b"bytes-are-not-text"], *([bad] for bad in BAD.values())])
def test_an_illegal_argument_is_refused(secrets: Sequence[str]) -> None:
    """Secrets in code follow the rules of secrets in the environment."""
    with pytest.raises(ConfigurationError, match=r"^secrets: entry \d of \d"):
        HandoffPlugin(secrets)


def test_one_text_is_not_a_list_of_secrets() -> None:
    """A forgotten pair of brackets is an error, not a list of letters."""
    with pytest.raises(ConfigurationError, match=r"^secrets: a single text is not a list"):
        HandoffPlugin(OLD)
