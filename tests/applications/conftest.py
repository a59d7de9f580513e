"""A how-to page as its reader follows it: blocks saved as files, the command typed, the server asked."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path

import httpx
import pytest
from applications.application import APPLICATIONS
from live import LiveServer, free_port, running

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"
BLOCK = re.compile(r"(?:`([\w./]+)`:\n\n)?^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)

Follow = Callable[..., contextlib.AbstractContextManager[LiveServer]]


class HowTo:
    """A page of docs/how-to, followed in `directory`."""

    def __init__(self, name: str, directory: Path) -> None:
        self._blocks = BLOCK.findall((HOW_TO / f"{name}.md").read_text())
        self._directory = directory

    @property
    def command(self) -> str:
        """The line that serves."""
        return next(text.strip() for _, language, text in self._blocks if language == "bash")

    def save(self, *, instead: Mapping[str, str]) -> None:
        """Write the blocks that have a name in front of them; what is different here than there is put `instead`."""
        for name, _, text in self._blocks:
            if name:
                for old, new in instead.items():
                    text = text.replace(old, new)
                path = self._directory / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)

    @contextlib.contextmanager
    def follow(self, *, instead: Mapping[str, str], env: Mapping[str, str]) -> Iterator[LiveServer]:
        """Save the blocks and type the command, with a free port."""
        self.save(instead=instead)
        port = free_port()
        command = re.sub(r" --port \d+", "", self.command) + f" --port {port}"
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        with running(
            ["bash", "-c", f"exec {_exported(command)}"], port, self._directory, {**env, "PATH": path}
        ) as server:
            yield server


def _exported(command: str) -> str:
    """The command with its variables given to `env`, so that the shell makes way for the server itself."""
    return f"env {command}" if "=" in shlex.split(command)[0] else command


@pytest.fixture(scope="module", autouse=True)
def _versions(request: pytest.FixtureRequest, record_testsuite_property: Callable[[str, object], None]) -> None:
    """What was installed is in the report, for the page of the matrix."""
    for name in APPLICATIONS[request.module.__name__.rpartition("test_")[2]]:
        record_testsuite_property(name, version(name))


@pytest.fixture
def follow(tmp_path: Path, store_url: str) -> Follow:
    """Follow the page of a name; keyword arguments are further environment variables."""

    def follow(
        name: str, instead: Mapping[str, str] | None = None, **env: str
    ) -> contextlib.AbstractContextManager[LiveServer]:
        return HowTo(name, tmp_path).follow(instead=instead or {}, env={"SESSIONGUARD_STORE": store_url, **env})

    return follow


@contextlib.contextmanager
def client_of(server: LiveServer, key: str | None = "my-chat") -> Iterator[httpx.Client]:
    """A client that names its conversation in every request."""
    headers = {} if key is None else {"x-openclaw-session-key": key}
    with httpx.Client(base_url=server.url, headers=headers, timeout=30, trust_env=False) as client:
        yield client
