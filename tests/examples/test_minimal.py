"""examples/minimal.py does what its docstring says."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from live import uvicorn

EXAMPLES = Path(__file__).parents[2] / "examples"


async def test_the_minimal_example_answers_with_one_id(tmp_path: Path) -> None:
    """Twice the same id with a key, none without."""
    with uvicorn("minimal:app", tmp_path, app_dir=EXAMPLES) as server, httpx.Client(base_url=server.url) as client:
        answers = [client.get("/", headers={"x-openclaw-session-key": "my-chat"}) for _ in range(2)]
        stranger = client.get("/")

    assert answers[0].text == answers[1].text
    assert answers[0].text.startswith("session id: ")
    assert [answer.headers["x-sessionguard-status"] for answer in answers] == ["new", "existing"]
    assert "none" in stranger.text


@pytest.mark.once
def test_every_example_says_how_to_run_it_and_has_a_test() -> None:
    """No example is left alone."""
    examples = {path.stem: path.read_text() for path in EXAMPLES.glob("*.py")}
    tests = "".join(path.read_text() for path in Path(__file__).parents[1].rglob("test_*.py"))

    assert examples
    assert [name for name, text in examples.items() if name not in text.split('"""')[1]] == []
    assert [name for name in examples if name not in tests] == []
