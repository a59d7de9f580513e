"""docs/how-to/vllm.md: what stands behind `--middleware` is loaded exactly as vLLM's server loads it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from applications.conftest import client_of, command_of
from live import LiveServer, uvicorn

SERVER = """
import importlib
import inspect
import os

from fastapi import FastAPI, Request

app = FastAPI()


@app.post("/v1/chat/completions")
def complete(request: Request) -> str:
    return request.state.session_id


path, _, name = os.environ["MIDDLEWARE"].rpartition(".")
middleware = getattr(importlib.import_module(path), name)
# An instance is refused there, and a coroutine function becomes something that buffers streams.
assert inspect.isclass(middleware)
app.add_middleware(middleware)
"""


@pytest.fixture(scope="module")
def server(directory: Path) -> Iterator[LiveServer]:
    words = shlex.split(command_of("vllm"))
    (directory / "server.py").write_text(SERVER)
    store = f"disk://{directory / 'sessions'}"
    env = {"SESSIONGUARD_STORE": store, "MIDDLEWARE": words[words.index("--middleware") + 1]}
    with uvicorn("server:app", directory, "--workers", "2", env=env) as server:
        yield server


def test_a_class_without_arguments_is_all_the_server_needs(server: LiveServer) -> None:
    """Several processes, as with `--api-server-count 2`: they share the store of the environment."""
    with client_of(server) as client:
        answers = [client.post("/v1/chat/completions", json={}) for _ in range(8)]

    assert len({answer.json() for answer in answers}) == 1
    assert [answer.headers["x-sessionguard-status"] for answer in answers] == ["new", *["existing"] * 7]


def test_a_request_that_may_not_be_served_is_refused_before_the_model_is_asked(server: LiveServer) -> None:
    with client_of(server, "cron:nightly") as client:
        refused = client.post("/v1/chat/completions", json={})

    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "reserved_session_key"
