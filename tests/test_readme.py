"""The documentation is true: every block runs, every hook and setting is named, the two commands are those of CI."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import Field, fields
from pathlib import Path

import httpx
import pytest
from live import LiveServer, free_port, running

from sessionguard.hookspecs import SessionGuardHooks
from sessionguard.settings import GuardSettings
from sessionguard.stores.disk.store import DiskStore

pytestmark = pytest.mark.once

PREFIX = "sessionguard_"
ROOT = Path(__file__).parents[1]
ELSEWHERE = {ROOT / "docs" / "turns.md"}  # By the tests of the turn gate, which it needs.
PAGES = [ROOT / "README.md", *sorted({*(ROOT / "docs").glob("*.md")} - ELSEWHERE)]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> list[str]:
    return [text for found, text in BLOCK.findall(page.read_text()) if found == language]


def named(pages: list[Path], language: str) -> list[pytest.param]:  # type: ignore[valid-type]
    return [
        pytest.param(text, id=f"{page.name}-{number}")
        for page in pages
        for number, text in enumerate(blocks(page, language))
    ]


@pytest.mark.parametrize("code", named(PAGES, "python"))
def test_every_python_block_runs(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it stands, beside an application."""
    (tmp_path / "mymodule.py").write_text("async def app(scope, receive, send): ...")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mymodule", raising=False)
    monkeypatch.syspath_prepend(ROOT / "examples" / "plugin-template")  # Whose files the guide shows.
    exec(compile(code, "a block of the documentation", "exec"), {"__name__": "documentation"})


def test_no_block_is_in_a_language_nobody_runs() -> None:
    """A block that no test can run would rot."""
    assert {language for page in PAGES for language, _ in BLOCK.findall(page.read_text())} <= {"python", "bash", "toml"}


def block_with(word: str) -> str:
    (found,) = [text for page in PAGES for text in blocks(page, "bash") if word in text]
    return found


def test_the_two_commands_are_what_ci_runs() -> None:
    """`.ci/run` reads them out of the README; nothing else installs or tests."""
    script = (ROOT / ".ci" / "run").read_text()
    patterns = re.findall(r"grep -m1 '([^']+)' README", script)
    readme = (ROOT / "README.md").read_text()
    commands = [re.search(f"{pattern}.*$", readme, re.MULTILINE) for pattern in patterns]

    assert [match and match[0] + "\n" for match in commands] == [block_with("demo"), block_with("tox-uv")]


def curl(command: str, server: LiveServer) -> httpx.Response:
    """Send what the curl command line of the README would send."""
    words = shlex.split(command)
    headers = dict(words[place + 1].split(": ", 1) for place, word in enumerate(words) if word == "-H")
    return httpx.get(server.url, headers=headers, timeout=20)


def typed(line: str, port: int, tmp_path: Path) -> contextlib.AbstractContextManager[LiveServer]:
    """Run the line in a shell as somebody types it who has activated the environment; uvicorn reads the port."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return running(["bash", "-c", line.strip()], port, tmp_path, {"PATH": path, "UVICORN_PORT": str(port)})


@pytest.mark.slow
@pytest.mark.parametrize(
    "find",
    [lambda: block_with("uvicorn mymodule:app"), lambda: block_with("SESSIONGUARD_APP=")],
    ids=["guarded application", "application guarded from outside"],
)
def test_the_serving_commands_serve_and_curl_asks(find: Callable[[], str], tmp_path: Path) -> None:
    """The first block saved as mymodule.py, asked twice with the README's own curl line."""
    (tmp_path / "mymodule.py").write_text(blocks(ROOT / "README.md", "python")[0])
    port = free_port()
    with typed(find(), port, tmp_path) as server:
        answers = [curl(block_with("curl"), server) for _ in range(2)]

    assert answers[0].text == answers[1].text != "none"
    assert [answer.headers["x-sessionguard-status"] for answer in answers] == ["new", "existing"]


@pytest.mark.slow
def test_the_proxy_command_starts_a_proxy(tmp_path: Path) -> None:
    """With nothing behind it the answer is 502, from the proxy itself."""
    port = free_port()
    text = block_with("standalone_proxy").replace("--port 8080", f"--port {port}").replace("18789", str(free_port()))
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    with typed(text, port, tmp_path) as server:
        answer = curl(block_with("curl"), server)

    assert answer.status_code == 502
    assert answer.headers["x-sessionguard-status"] == "new"


@pytest.mark.slow
def test_one_option_of_pytest_judges_a_store(tmp_path: Path) -> None:
    """The block as it stands, and one of the tests, for all of them run elsewhere."""
    command = (
        f"{sys.executable} -m {block_with('--sessionguard-store=memory').strip()} -k test_an_absent_key_has_no_row"
    )
    run = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert "1 passed" in run.stdout, run.stdout + run.stderr


@pytest.mark.slow
def test_the_commands_that_move_a_store_move_it_and_bring_it_back(tmp_path: Path) -> None:
    """The blocks as they stand, in another directory than that of the system."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    def typed(word: str) -> str:
        command = block_with(word).replace("/var/lib/app", str(tmp_path))
        run = subprocess.run(
            ["bash", "-c", command], env={**os.environ, "PATH": path}, capture_output=True, text=True, check=True
        )
        return run.stdout

    async def reserve() -> None:
        store = DiskStore(tmp_path / "sessions")
        await store.reserve("key", "id", None)
        await store.aclose()

    asyncio.run(reserve())
    said = [typed("store copy"), typed("store copy"), typed("store revive"), typed("store copy")]

    assert [f"SESSIONGUARD_STORE=sqlite://{tmp_path}/moved and restart" in text for text in said] == [
        True,
        False,
        False,
        True,
    ]
    assert "before; nothing was left to do" in said[1]
    assert said[2] == f"disk://{tmp_path}/sessions serves again.\n"


def test_the_benchmark_is_an_environment_that_takes_the_option() -> None:
    """It takes ten minutes, so it is only asked what it knows: tox hands the option over, and the page is there."""
    _, _, environment, _, option, place = block_with("tox -e benchmarks").split()
    command = f"{environment}: python -m benchmarks --directory {{env_dir}}/contenders {{posargs}}"
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert command in (ROOT / "tox.ini").read_text()
    assert option in run.stdout
    assert (ROOT / place / "performance.md").exists()


def test_every_bash_block_is_run_by_a_test() -> None:
    """A new block needs a test of its own here."""
    words = ("demo", "tox-uv", "uvicorn mymodule:app", "SESSIONGUARD_APP=", "curl", "standalone_proxy")
    words += ("--sessionguard-store=memory", "store copy", "store revive", "tox -e benchmarks")
    words += ("tox -e matrix-page",)
    words += ("--sessionguard-store=ledger",)  # By the test of the plugin template.
    known = {block_with(word) for word in words}

    elsewhere = set(blocks(ROOT / "docs" / "operating.md", "bash"))  # test_operating.py

    assert {text for page in PAGES for text in blocks(page, "bash")} == known | elsewhere


def test_every_hook_is_documented_with_its_arguments() -> None:
    """By name and exact argument list."""
    page = (ROOT / "docs" / "plugins.md").read_text()
    hooks = [f"`{name}({', '.join(_arguments(name))})`" for name in vars(SessionGuardHooks) if name.startswith(PREFIX)]

    assert hooks
    assert [hook for hook in hooks if hook not in page] == []


def _arguments(hook: str) -> list[str]:
    return list(inspect.signature(getattr(SessionGuardHooks, hook)).parameters)[1:]


def test_every_setting_is_documented_with_its_variable_and_default() -> None:
    """The table of docs/settings.md, row by row, without the cell that explains it."""
    rows = re.findall(
        r"^\| `(\w+)` \|(.*?)\|(.*?)\|(.*?)\|$", (ROOT / "docs" / "settings.md").read_text(), re.MULTILINE
    )
    documented = {name: (variable.strip(), default.strip(" `")) for name, variable, default, _ in rows}

    assert documented == {field.name: (_variable(field.name), _shown(field)) for field in fields(GuardSettings)}
    assert [name for name, *_, meaning in rows if not meaning.strip()] == []


def _variable(name: str) -> str:
    return "" if name == "plugins" else f"`SESSIONGUARD_{name.upper()}`"


def _shown(field: Field[object]) -> str:
    value = field.default
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:g}"
    return {"reset": "none"}.get(field.name, str(value or ""))
