"""docs/how-to/openclaw.md is followed, with a real gateway: its checks, its import line, its settings."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import uuid
from pathlib import Path

import httpx
import pytest
from openclaw.gateway import TOKEN, Gateway, running_gateway
from openclaw.installation import RELEASES, Unavailable, install
from openclaw.proxy import running_proxy

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "openclaw.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
REMOTE = {"x-forwarded-for": "203.0.113.7", "authorization": f"Bearer {TOKEN}"}


def block(word: str) -> str:
    (found,) = [text for _, text in BLOCKS if word in text]
    return found


def shell(script: str, **environment: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    run = subprocess.run(
        ["bash", "-c", script],
        env={**os.environ, "PATH": path, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def test_the_check_prints_what_the_page_says(gateway: Gateway, tmp_path: Path) -> None:
    """Of two first requests one is new, and both say how long they waited."""
    key = f"first-look-{uuid.uuid4()}"
    with running_proxy(gateway.url, tmp_path) as proxy:
        script = block("curl").replace("http://127.0.0.1:8080", proxy.url).replace("first-look", key)
        printed = shell(script, OPENCLAW_GATEWAY_TOKEN=TOKEN).lower()

    statuses = re.findall(r"x-sessionguard-status: (\w+)", printed)
    assert statuses.count("new") == 1
    assert {*statuses} <= {"new", "joined", "existing"}
    assert len(re.findall(r"x-sessionguard-wait-ms: \d+", printed)) == 2


def test_the_import_line_takes_over_the_conversations(gateway: Gateway, tmp_path: Path) -> None:
    """Those that the gateway keeps in its home, in every release."""
    answer = httpx.post(
        f"{gateway.url}/v1/chat/completions",
        headers={"authorization": f"Bearer {TOKEN}", "x-openclaw-session-key": f"earlier-{uuid.uuid4()}"},
        json={"model": "openclaw", "messages": [{"role": "user", "content": "MSG-earlier"}]},
        timeout=120,
        trust_env=False,
    )
    printed = shell(
        block("import openclaw"),
        OPENCLAW_STATE_DIR=str(gateway.state),
        SESSIONGUARD_STORE=f"disk://{tmp_path / 'conversations'}",
    )

    assert answer.status_code == 200
    assert re.search(r"[1-9]\d* adopted", printed), printed


def test_the_settings_of_the_page_let_remote_clients_in(
    gateway: Gateway, directory: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A reverse proxy on this host that names a remote client is one to the gateway, too."""
    with running_proxy(gateway.url, tmp_path) as proxy:
        before = httpx.get(f"{proxy.url}/v1/models", headers=REMOTE, timeout=60, trust_env=False).status_code
    release = next(name for name in RELEASES if name in (gateway.release, "latest"))
    try:
        installation = install(release, directory)
    except Unavailable as reason:
        pytest.skip(str(reason))
    settings = json.loads(block("trustedProxies"))["gateway"]
    with (
        running_gateway(installation, gateway.model, tmp_path_factory.mktemp("trusting"), **settings) as trusting,
        running_proxy(trusting.url, tmp_path_factory.mktemp("proxy")) as proxy,
    ):
        after = httpx.get(f"{proxy.url}/v1/models", headers=REMOTE, timeout=60, trust_env=False).status_code

    assert before == (200 if trusting.release < "2026.8" else 403)
    assert after == 200


def test_every_block_is_run_here() -> None:
    """The first lines install and start, as the fixtures do; the endpoints are those of the gateway's configuration."""
    known = ["pip install", "chatCompletions", "sessionguard proxy", "curl", "import openclaw", "trustedProxies"]

    assert sorted(map(block, known)) == sorted(text for _, text in BLOCKS)
