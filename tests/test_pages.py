"""The pages of docs/symptoms cure what they name, and every page of docs/how-to has a test that follows it.

What a page must be holds for docs/turns.md as well.
"""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sessionguard import SessionGuard
from sessionguard.testing import AppProbe, Exchange

ROOT = Path(__file__).parents[1]
SYMPTOMS = sorted((ROOT / "docs" / "symptoms").glob("*.md"))
OPENCLAW = ROOT / "docs" / "how-to" / "openclaw.md"
"""A guide of several steps, which tests/openclaw follows with real gateways."""
HOW_TO = sorted({*(ROOT / "docs" / "how-to").glob("*.md")} - {OPENCLAW})
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
TARGET = re.compile(r"\]\((?!https?:)([^)#]+)[^)]*\)")
UNNAMED = re.compile(r"^(?!.*`[\w./]+`:$).*\n\n```python$", re.MULTILINE)
ONE_SCREEN = 50
FOLLOWED_TOGETHER = {"fastapi-proxy-lib": "proxies", "asgiproxy": "proxies"}

TURNS = ROOT / "docs" / "turns.md"  # Its blocks are run where the plugin is.

PAGES = [*SYMPTOMS, *HOW_TO, TURNS]

pytestmark = pytest.mark.once


def block(symptom: str, language: str) -> str:
    """The one block a page of docs/symptoms has in this language."""
    text = (ROOT / "docs" / "symptoms" / f"{symptom}.md").read_text()
    (found,) = [code for named, code in BLOCK.findall(text) if named == language]
    return found


def run(symptom: str) -> dict[str, Any]:
    """Run the Python block of a page; returns what it has defined."""
    namespace: dict[str, Any] = {"__name__": "documentation"}
    exec(compile(block(symptom, "python"), symptom, "exec"), namespace)
    return namespace


async def ask(app: Any, headers: dict[str, str], **scope: Any) -> Exchange:
    return await Exchange(app, [(name.encode(), value.encode()) for name, value in headers.items()], **scope).run()


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def test_a_page_fits_on_one_screen() -> None:
    lines = {name_of(page): len(page.read_text().splitlines()) for page in PAGES}

    assert {name: count for name, count in lines.items() if count > ONE_SCREEN} == {}


def test_a_page_is_found_from_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()

    assert [name_of(page) for page in [*PAGES, OPENCLAW] if f"({name_of(page)})" not in readme] == []


def test_what_a_page_points_to_is_there() -> None:
    targets = [(page, target) for page in [*PAGES, OPENCLAW] for target in re.findall(TARGET, page.read_text())]

    assert [(name_of(page), target) for page, target in targets if not (page.parent / target).exists()] == []


def test_a_how_to_is_followed_by_a_test() -> None:
    """The test reads the page, and every file that the page shows has its name in front of it, so it can be saved."""
    tests = {page: ROOT / "tests" / "applications" / f"test_{_followed_by(page)}.py" for page in HOW_TO}

    assert [name_of(page) for page, test in tests.items() if f"{page.stem}.md" not in test.read_text()] == []
    assert {name_of(page): found for page in HOW_TO if (found := UNNAMED.findall(page.read_text()))} == {}


def _followed_by(page: Path) -> str:
    return FOLLOWED_TOGETHER.get(page.stem, page.stem).replace("-", "_")


def test_a_how_to_begins_with_the_line_that_does_it() -> None:
    """Before it explains anything."""
    assert [name_of(page) for page in HOW_TO if not _begins_with_the_line(page.read_text())] == []


def _begins_with_the_line(text: str) -> bool:
    first = BLOCK.search(text)
    return first is not None and "SessionGuard" in first[2] and len(text[: first.start()].split("\n\n")) <= 3


async def test_the_fork_is_cured_by_the_line_of_its_page() -> None:
    """Its application gets the id where the page says."""
    page = run("a-second-request-forks-the-conversation")
    seen: list[str] = []

    async def agent(scope: Any, receive: Any, send: Any) -> None:
        seen.extend([scope["session_id"], dict(scope["headers"])[b"x-openclaw-session-id"].decode()])

    page["app"].app = agent
    await ask(SessionGuard(agent, store="memory:"), {"x-openclaw-session-key": "my-chat"})

    assert isinstance(page["app"], SessionGuard)
    assert len({*seen}) == 1


async def test_the_chat_id_of_open_webui_is_the_key() -> None:
    """Sent in the header that its variable names, by whoever reads the page's lines as a shell does."""
    script = block("open-webui-makes-a-session-per-message", "bash") + 'echo "$FORWARD_SESSION_INFO_HEADER_CHAT_ID"'
    header = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout.strip()
    probe = AppProbe()
    guard = SessionGuard(probe, store="memory:")
    answers = [await ask(guard, {header: "6f3b0e4c-2f4d-4f22-9f24-0d8f4c1e5d33"}) for _ in range(2)]

    assert [answer.headers["x-sessionguard-status"] for answer in answers] == ["new", "existing"]


async def test_users_of_open_webui_are_kept_apart() -> None:
    """The same chat id of another user is another conversation, and without a user it is none."""
    plugin = run("open-webui-makes-a-session-per-message")["OpenWebUIUsers"]
    probe = AppProbe()
    guard = SessionGuard(probe, store="memory:", plugins=[plugin])
    key = {"x-openclaw-session-key": "chat"}
    answers = [
        await ask(guard, {**key, **user}) for user in ({"x-openwebui-user-id": "1"}, {"x-openwebui-user-id": "2"}, {})
    ]

    assert [answer.status for answer in answers] == [200, 200, 403]
    assert [answer.headers.get("x-sessionguard-status") for answer in answers[:2]] == ["new", "new"]


@pytest.mark.parametrize(
    ("path", "origins"),
    [
        pytest.param("/chats/42/messages", ["new", "existing"], id="a chat"),
        pytest.param("/chats/../messages", [None, None], id="no chat"),
        pytest.param("/healthz", [None, None], id="another path"),
    ],
)
async def test_two_tabs_of_a_chat_are_one_conversation(path: str, origins: list[str | None]) -> None:
    plugin = run("my-agent-forgets-when-two-tabs-are-open")["ChatInThePath"]
    guard = SessionGuard(AppProbe(), store="memory:", plugins=[plugin])
    answers = [await ask(guard, {}, path=path) for _ in range(2)]

    assert [answer.headers.get("x-sessionguard-status") for answer in answers] == origins


async def test_every_session_that_begins_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "conversations")
    plugin = run("sessions-reset-by-themselves")["NewSessions"]
    guard = SessionGuard(AppProbe(), store="memory:", plugins=[plugin])
    for key in ("a", "a", "b"):
        await ask(guard, {"x-openclaw-session-key": key})

    assert [record.message.split()[:2] for record in caplog.records if record.name == "conversations"] == [
        ["new", "session"],
        ["new", "session"],
    ]


def test_a_store_that_does_not_reach_far_enough_stops_the_start(tmp_path: Path) -> None:
    """The command of the page, on the application of the README; it says what to do instead."""
    first = BLOCK.search((ROOT / "README.md").read_text())
    assert first is not None
    (tmp_path / "mymodule.py").write_text(first[2])
    command = block("workers-disagree", "bash").strip() + " --port 0"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    started = subprocess.run(
        ["bash", "-c", command],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert started.returncode != 0
    assert "cluster" in started.stderr
    assert "redis://" in started.stderr
