"""docs/how-to/litellm.md, with the openai client, mock responses, and a callback that writes what it is told."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from applications.conftest import follow, new_key
from live import LiveServer
from openai import AsyncOpenAI, BadRequestError, OpenAI

CONFIG = """
model_list:
  - model_name: echo
    litellm_params: {model: openai/echo, api_key: none, mock_response: one two three}
litellm_settings:
  callbacks: journal.journal
"""
JOURNAL = """
import json
from litellm.integrations.custom_logger import CustomLogger


class Journal(CustomLogger):
    async def async_log_success_event(self, kwargs, response_obj, start_time, end_time):
        with open("journal", "a") as file:
            told = [kwargs["messages"][0]["content"], kwargs["litellm_params"].get("litellm_session_id")]
            print(json.dumps(told), file=file)


journal = Journal()
"""
MASTER = "sk-0123456789abcdef0123456789abcdef"
MESSAGES = [{"role": "user", "content": "Hello."}]


@pytest.fixture(scope="module")
def server(directory: Path) -> Iterator[LiveServer]:
    """LiteLLM with the list of prices that it brings: else it fetches one at its start."""
    (directory / "config.yaml").write_text(CONFIG)
    (directory / "journal.py").write_text(JOURNAL)
    with follow("litellm", directory, LITELLM_MASTER_KEY=MASTER, LITELLM_LOCAL_MODEL_COST_MAP="True") as server:
        yield server


def asking(server: LiveServer, kind: type, **headers: str) -> OpenAI | AsyncOpenAI:
    sent = {"x-openclaw-session-key": new_key(), **headers}
    return kind(base_url=f"{server.url}/v1", api_key=MASTER, default_headers=sent, max_retries=0)


def noted(directory: Path, message: str, count: int) -> list[str]:
    """The session ids that the callback was told with this message, when it has been told so often."""
    journal = directory / "journal"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        told = [json.loads(line) for line in journal.read_text().splitlines()] if journal.exists() else []
        ids = [session_id for content, session_id in told if content == message]
        if len(ids) >= count:
            return ids
        time.sleep(0.05)
    raise AssertionError(f"the callback was told {len(ids)} times")


async def test_requests_that_arrive_together_are_one_conversation(server: LiveServer, directory: Path) -> None:
    """Over two workers; LiteLLM's own session id is the guard's, in every one of its logs."""
    messages = [{"role": "user", "content": "Together."}]
    async with asking(server, AsyncOpenAI) as client:
        answers = await asyncio.gather(
            *(client.chat.completions.with_raw_response.create(model="echo", messages=messages) for _ in range(8))
        )
    origins = [answer.headers["x-sessionguard-status"] for answer in answers]

    assert origins.count("new") == 1
    assert set(origins) <= {"new", "joined", "existing"}
    (session_id,) = set(noted(directory, "Together.", 8))
    assert len(session_id) == 36


def test_the_client_of_the_page_gets_its_answer(server: LiveServer, directory: Path) -> None:
    """The file as it stands, but for the port."""
    client = (directory / "client.py").read_text().replace("4000", str(server.port))
    env = {**os.environ, "OPENAI_API_KEY": MASTER}
    run = subprocess.run([sys.executable, "-c", client], env=env, capture_output=True, text=True, check=True)

    assert run.stdout == "one two three\n"


def test_a_stream_arrives_in_pieces(server: LiveServer) -> None:
    """As without the guard."""
    with asking(server, OpenAI) as client:
        pieces = [*client.chat.completions.create(model="echo", messages=MESSAGES, stream=True)]

    assert "".join(piece.choices[0].delta.content or "" for piece in pieces) == "one two three"
    assert len(pieces) > 2


def test_a_session_id_of_the_clients_own_is_not_taken(server: LiveServer, directory: Path) -> None:
    """Or it could write into the logs of another conversation."""
    with asking(server, OpenAI, **{"x-litellm-session-id": "forged"}) as client:
        client.chat.completions.create(model="echo", messages=[{"role": "user", "content": "Forged."}])

    assert noted(directory, "Forged.", 1) != ["forged"]


def test_a_key_that_is_not_legal_is_an_error_of_the_client(server: LiveServer) -> None:
    """In the form the client knows."""
    client = asking(server, OpenAI, **{"x-openclaw-session-key": "cron:nightly"})
    with client, pytest.raises(BadRequestError) as refused:
        client.chat.completions.create(model="echo", messages=MESSAGES)

    assert refused.value.code == "reserved_session_key"
