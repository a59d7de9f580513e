"""examples/fastapi_agent.py keeps one memory per conversation, over two workers."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest
from live import uvicorn

EXAMPLES = Path(__file__).parents[2] / "examples"
KEY = {"x-openclaw-session-key": "my-chat"}


@pytest.mark.slow
async def test_the_fastapi_example_remembers_what_was_said_at_the_same_time(tmp_path: Path) -> None:
    """Ten messages at once are one conversation of ten messages."""
    env = {"TMPDIR": str(tmp_path)}
    with uvicorn("fastapi_agent:app", tmp_path, "--workers", "2", app_dir=EXAMPLES, env=env) as server:
        async with httpx.AsyncClient(base_url=server.url, timeout=20) as client:
            await asyncio.gather(*(client.post("/chat", json={"text": f"message {n}"}, headers=KEY) for n in range(10)))
            last = await client.post("/chat", json={"text": "and now?"}, headers=KEY)
            whoami = await client.get("/whoami", headers=KEY)
            refused = await client.post("/chat", json={"text": "who am I?"})

    assert "I remember 11 of your messages." in last.text
    assert last.headers["x-sessionguard-status"] == "existing"
    assert whoami.json() == {"session_key": "agent:main:my-chat", "origin": "existing"}
    assert refused.json()["error"]["code"] == "session_key_required"
