"""docs/operating.md is true: every command on the page is run as it stands, in another directory than the system's."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from gateway import entry, write_json
from live import free_port, running
from operators import SILENT, fill

from sessionguard import SessionRecord
from sessionguard.keys import row_key
from sessionguard.stores.disk.store import DiskStore

pytestmark = [pytest.mark.once, pytest.mark.slow]

README = Path(__file__).parents[1] / "README.md"
FIRST_BLOCK = README.read_text().partition("```python\n")[2].partition("```")[0]
PAGE = Path(__file__).parents[1] / "docs" / "operating.md"
BLOCKS = re.findall(r"^```bash\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
NOW = int(time.time() * 1000)
DAY = 86_400_000

SAID = {
    "sessions list": [r"HASH", r"agent:main:my-chat\n", r"now         goes on\n", r"had the session id id-0, and has "],
    "sessions show --hash": [r"key         agent:main:my-chat\n"],
    "import openclaw": [
        r"1 adopted(?s:.*)main: 2 entries(?s:.*)nothing was written(?s:.*)1 adopted",
        r"1 were left out",
    ],
    "sessionguard export": [],
    "sessionguard doctor\n": [r"green   race: 3 processes, 480 calls for 40 conversations: one id each"],
    "sessionguard doctor --url": [r"red     headers: (?s:.*)have a look", r"green   transcripts: main: 1 sessions"],
    "sessionguard plugins": [r"active   openclaw, of sessionguard \d", r"stores: disk:, memory:, sqlite:"],
    "sessions prune": [r"1 of 2 conversations", r"1 were removed\.", r"This conversation was forgotten"],
    "sessionguard watch": [r"2 conversations(?s:.*)agent:main:my-chat"],
}
"""Words of a block, and patterns of what it says."""
SERVED = {"sessionguard run": 200, "sessionguard proxy": 502}
"""Words of a block that serves, and what a request is answered with."""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A shell of somebody who runs an application with two conversations."""
    directory = tmp_path / "sessions"
    idle = {"my-chat": 0, "old": 40 * DAY}
    rows = [
        (row_key("default", None, f"agent:main:{key}"), SessionRecord(f"id-{number}", NOW - ago, NOW - ago))
        for number, (key, ago) in enumerate(idle.items())
    ]
    fill(DiskStore(directory), rows)
    gateway = tmp_path / ".openclaw" / "agents" / "main" / "sessions"
    gateway.mkdir(parents=True)
    write_json(gateway / "sessions.json", {"agent:main:theirs": entry("id-theirs"), "agent:main:cron:1": entry("x")})
    head = {"type": "session", "id": "id-theirs", "timestamp": "2026-12-01T00:00:00.000Z"}
    (gateway / "id-theirs.jsonl").write_text(json.dumps(head))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, **SILENT, "PATH": path, "HOME": str(tmp_path), "SESSIONGUARD_STORE": f"disk://{directory}"}


@pytest.mark.parametrize("words", SAID)
def test_a_block_does_what_the_page_says(words: str, environment: dict[str, str], tmp_path: Path) -> None:
    """Every command ends well, and says what it should."""
    (block,) = [block for block in BLOCKS if words in block]
    script = block.replace("127.0.0.1:8000", f"127.0.0.1:{free_port()}")
    run = subprocess.run(
        ["bash", "-ec", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
    )

    assert run.returncode == 0, run.stderr
    for pattern in SAID[words]:
        assert re.search(pattern, run.stdout), (pattern, run.stdout)


@pytest.mark.parametrize(("words", "status"), SERVED.items())
def test_a_block_that_serves_serves(words: str, status: int, environment: dict[str, str], tmp_path: Path) -> None:
    """The first block of the README, and an upstream that is not there: what answers is behind a guard."""
    (tmp_path / "mymodule.py").write_text(FIRST_BLOCK)
    (block,) = [block for block in BLOCKS if words in block]
    port = free_port()
    script = re.sub(r"--port \d+", f"--port {port}", block).replace("18789", str(free_port()))
    with running(["bash", "-c", f"exec {script}"], port, tmp_path, environment) as server:
        answer = httpx.get(server.url, headers={"x-openclaw-session-key": "my-chat"}, timeout=20, trust_env=False)

    assert (answer.status_code, answer.headers["x-sessionguard-status"]) == (status, "existing")


def test_every_block_is_run() -> None:
    """A new one needs its words in a table."""
    assert [sum(words in block for words in (*SAID, *SERVED)) for block in BLOCKS] == [1] * len(BLOCKS)
