"""The app factory for server command lines: `SESSIONGUARD_APP=module:app uvicorn --factory ...`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from live import uvicorn

from sessionguard import ConfigurationError, SessionGuard
from sessionguard.serving import create_app

MODULE = """
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["session_id"].encode()})


class site:
    app = app


number = 7
"""
FAILING = {
    "broken_import": "import nowhere_at_all",
    "broken_name": "from os import nowhere_at_all",
    "broken_attribute": "import os\nos.nowhere_at_all",
}


@pytest.fixture
def _modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Modules on `sys.path`: `lanterns` with an application, and some that cannot be imported."""
    monkeypatch.setenv("SESSIONGUARD_STORE", "memory:")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name, code in {"lanterns": MODULE, **FAILING}.items():
        (tmp_path / f"{name}.py").write_text(code)
    importlib.invalidate_caches()
    yield
    for name in ("lanterns", *FAILING):
        sys.modules.pop(name, None)


@pytest.mark.usefixtures("_modules")
@pytest.mark.parametrize("target", ["lanterns:app", "lanterns:site.app"])
def test_the_named_application_is_guarded(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`module:attribute`, and an attribute of an attribute."""
    monkeypatch.setenv("SESSIONGUARD_APP", target)
    assert isinstance(create_app(), SessionGuard)


@pytest.mark.parametrize("target", [None, "", ":", "lanterns", "lanterns:", ":app", ".lanterns:app"])
def test_a_missing_or_malformed_name_is_explained(target: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error shows what was set and what it should look like."""
    if target is not None:
        monkeypatch.setenv("SESSIONGUARD_APP", target)
    with pytest.raises(ConfigurationError) as caught:
        create_app()
    message = str(caught.value)
    assert f"SESSIONGUARD_APP={target or ''!r} must name the application to guard, as module:attribute" == message


@pytest.mark.usefixtures("_modules")
@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("nowhere_at_all:app", "there is no module nowhere_at_all; is its directory on PYTHONPATH?"),
        ("nowhere_at_all.inner:app", "there is no module nowhere_at_all;"),
        ("lanterns.inner:app", "there is no module lanterns.inner;"),
        ("lanterns:lamp", "lanterns has no attribute lamp"),
        ("lanterns:site.lamp", "lanterns has no attribute site.lamp"),
        ("lanterns:number", "number is no application but int"),
    ],
)
def test_a_name_that_names_nothing_is_explained(target: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says which part of it could not be found."""
    monkeypatch.setenv("SESSIONGUARD_APP", target)
    with pytest.raises(ConfigurationError) as caught:
        create_app()
    assert f"SESSIONGUARD_APP={target}: " in str(caught.value)
    assert reason in str(caught.value)


@pytest.mark.usefixtures("_modules")
@pytest.mark.parametrize(
    ("module", "error"),
    [("broken_import", ModuleNotFoundError), ("broken_name", ImportError), ("broken_attribute", AttributeError)],
)
def test_an_application_that_cannot_be_imported_fails_in_its_own_words(
    module: str, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mistake is in the application's module, and so is the traceback."""
    monkeypatch.setenv("SESSIONGUARD_APP", f"{module}:app")
    with pytest.raises(error, match="nowhere_at_all"):
        create_app()


@pytest.mark.slow
def test_a_server_serves_the_factory(tmp_path: Path) -> None:
    """The command of the documentation, on a real socket."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "lanterns.py").write_text(MODULE)
    environment = {"SESSIONGUARD_APP": "lanterns:app", "SESSIONGUARD_STORE": "memory:"}
    with uvicorn("sessionguard.serving:create_app", tmp_path, "--factory", app_dir=site, env=environment) as server:
        answers = [httpx.get(server.url, headers={"x-openclaw-session-key": "a"}) for _ in range(2)]
    assert ["new", "existing"] == [answer.headers["x-sessionguard-status"] for answer in answers]
    assert answers[0].text == answers[1].text


def test_a_server_does_not_start_without_the_name(tmp_path: Path) -> None:
    """The operator reads the cure in the server's output."""
    with (
        pytest.raises(RuntimeError, match="SESSIONGUARD_APP='' must name the application"),
        uvicorn("sessionguard.serving:create_app", tmp_path, "--factory"),
    ):
        raise AssertionError("the server must not start")


@pytest.mark.parametrize(
    ("store", "coordination", "error"),
    [
        (
            "memory:",
            "cluster",
            "keeps one id per key within one process, but SESSIONGUARD_COORDINATION asks for cluster",
        ),
        ("disk:", "cluster", "keeps one id per key within one host, but SESSIONGUARD_COORDINATION asks for cluster"),
        ("sqlite:", "cluster", "keeps one id per key within one host, but SESSIONGUARD_COORDINATION asks for cluster"),
        ("memory:", "host", "keeps one id per key within one process, but SESSIONGUARD_COORDINATION asks for host"),
        ("redis://host/0", "cluster", "run: pip install sessionguard-redis"),
    ],
)
@pytest.mark.usefixtures("_modules")
def test_no_application_is_made_on_a_store_that_cannot_do_what_it_is_asked(
    monkeypatch: pytest.MonkeyPatch, store: str, coordination: str, error: str
) -> None:
    """Told by the environment; the error says why."""
    monkeypatch.setenv("SESSIONGUARD_APP", "lanterns:app")
    monkeypatch.setenv("SESSIONGUARD_STORE", store)
    monkeypatch.setenv("SESSIONGUARD_COORDINATION", coordination)
    with pytest.raises(ConfigurationError) as caught:
        create_app()

    assert error in str(caught.value)
