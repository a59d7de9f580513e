"""A gateway as a process on loopback, with a home and a state directory of its own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from live import free_port
from openclaw.installation import Installation
from openclaw.model import FakeModel

START_SECONDS = 180.0
TOKEN = "test-token-1"


class Gateway:
    """A release of the gateway that runs or can be started; its port and its state stay the same."""

    def __init__(self, installation: Installation, model: FakeModel, directory: Path, **settings: Any) -> None:
        self.release = installation.version
        self.model = model
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.state = directory / "state"
        self.log = directory / "gateway.log"
        home, workspace = directory / "home", directory / "workspace"
        for created in (self.state, home, workspace):
            created.mkdir(parents=True)
        config = self.state / "openclaw.json"
        config.write_text(json.dumps(configuration(self.port, model.url, workspace, directory, **settings), indent=1))
        node = installation.node
        self._command = [node, installation.entry, "gateway", "run", "--port", str(self.port), "--bind", "loopback"]
        self._environment = {
            "PATH": f"{node.parent}:{os.environ['PATH']}",
            "HOME": str(home),
            "TMPDIR": str(home),
            "OPENCLAW_STATE_DIR": str(self.state),
            "OPENCLAW_CONFIG_PATH": str(config),
            "OPENCLAW_SKIP_CHANNELS": "1",
            "NO_COLOR": "1",
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the gateway and wait until it answers."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, cwd=self.state, env=self._environment, stdout=log, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the gateway {self.release} did not start:\n{self.log.read_text()[-2000:]}")
            time.sleep(0.2)

    def stop(self) -> None:
        """End the gateway with SIGTERM, and with SIGKILL if it has not ended after 30 s."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def log_lines(self, pattern: re.Pattern[str]) -> list[str]:
        """Return the lines of the log so far that contain the pattern."""
        return [line for line in self.log.read_text(errors="replace").splitlines() if pattern.search(line)]

    def _answers(self) -> bool:
        authorization = {"authorization": f"Bearer {TOKEN}"}
        with contextlib.suppress(httpx.TransportError):
            answer = httpx.get(f"{self.url}/v1/models", headers=authorization, timeout=5, trust_env=False)
            return answer.status_code == 200
        return False


@contextlib.contextmanager
def running_gateway(
    installation: Installation, model: FakeModel, directory: Path, **settings: Any
) -> Iterator[Gateway]:
    """Run a gateway until the block ends."""
    gateway = Gateway(installation, model, directory, **settings)
    try:
        gateway.start()
        yield gateway
    finally:
        gateway.stop()


def configuration(
    port: int, model_url: str, workspace: Path, directory: Path, agents: list[dict] | None = None, **gateway: Any
) -> dict:
    """Return the configuration of a gateway on loopback, with `gateway` as further settings of that section."""
    text_model = {
        "id": "fake", "name": "Fake", "reasoning": False, "input": ["text"], "contextWindow": 131072, "maxTokens": 4096,
        "cost": {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0},
    }  # fmt: skip
    provider = {"baseUrl": model_url, "apiKey": "fake-key", "api": "openai-completions", "models": [text_model]}
    endpoints = {"chatCompletions": {"enabled": True}, "responses": {"enabled": True}}
    defaults = {
        "workspace": str(workspace),
        "skipBootstrap": True,
        "model": {"primary": "fake/fake"},
        "heartbeat": {"every": "0m"},
    }
    return {
        "gateway": {
            "mode": "local",
            "port": port,
            "bind": "loopback",
            "auth": {"mode": "token", "token": TOKEN},
            "http": {"endpoints": endpoints},
            **gateway,
        },
        "agents": {"defaults": defaults, "list": agents or [{"id": "main", "default": True}]},
        "models": {"mode": "merge", "providers": {"fake": provider}},
        "discovery": {"mdns": {"mode": "off"}},
        "logging": {"file": str(directory / "gateway-file.log")},
    }
