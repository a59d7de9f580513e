"""A how-to page as its reader follows it: blocks saved as files, the command typed, requests sent."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path

import httpx
import pytest
from applications.application import APPLICATIONS
from live import LiveServer, running

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"
BLOCK = re.compile(r"(?:`([\w./]+)`:\n\n)?^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def command_of(page: str) -> str:
    """The line of a page that serves."""
    return next(text.strip() for _, language, text in _blocks(page) if language == "bash")


@contextlib.contextmanager
def follow(page: str, directory: Path, instead: Mapping[str, str] | None = None, **env: str) -> Iterator[LiveServer]:
    """Save the blocks that have a name in front of them, and type the command; the system chooses the port.

    The keys of `instead` are replaced in the blocks; `env` has environment variables.
    """
    for name, _, text in _blocks(page):
        if name:
            for old, new in (instead or {}).items():
                text = text.replace(old, new)
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    command = re.sub(r" --port \d+", "", command_of(page)) + " --port 0"
    if "=" in shlex.split(command)[0]:
        # The variables are given to `env`, so that the shell makes way for the server itself.
        command = f"env {command}"
    settings = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "SESSIONGUARD_STORE": f"disk://{directory / 'sessions'}",
    }
    with running(["bash", "-c", f"exec {command}"], 0, directory, settings | env) as server:
        yield server


def _blocks(page: str) -> list[tuple[str, str, str]]:
    return BLOCK.findall((HOW_TO / f"{page}.md").read_text())


@pytest.fixture(autouse=True)
def _ran_on(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> None:
    """Record which application a test is of, for the page of the matrix."""
    application = request.module.__name__.rpartition("test_")[2]
    record_property("application", application)
    for name in APPLICATIONS[application]:
        record_property(name, version(name))


@pytest.fixture(scope="module")
def directory(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working directory of the server that all tests of a module share; each test has a key of its own."""
    return tmp_path_factory.mktemp(request.module.__name__.rpartition(".")[2])


def new_key() -> str:
    """The key of a conversation that has not begun."""
    return f"chat-{uuid.uuid4()}"


@contextlib.contextmanager
def client_of(server: LiveServer, key: str | None = None) -> Iterator[httpx.Client]:
    """A client that names one conversation in every request: a new one when no key is given, none for an empty key."""
    headers = {} if key == "" else {"x-openclaw-session-key": key or new_key()}
    with httpx.Client(base_url=server.url, headers=headers, timeout=30, trust_env=False) as client:
        yield client
