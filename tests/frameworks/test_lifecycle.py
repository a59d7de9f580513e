"""What lies around a request: starting and stopping, other middleware, failures."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from frameworks.framework import Framework
from frameworks.journal import Journal
from frameworks.requests import STATUS, answer, new_key
from servers.server import Server, serving

if TYPE_CHECKING:
    from frameworks.conftest import Serve


def test_a_conversation_outlives_the_server(client: httpx.Client, serve: Serve) -> None:
    """A new process finds the row that another has written."""
    key = new_key()
    first = client.get("/session", headers=key)
    with serve() as server:
        second = httpx.get(f"{server.url}/session", headers=key, timeout=30, trust_env=False)

    assert ["new", "existing"] == [answer.headers[STATUS] for answer in (first, second)]
    assert first.json()["seen"] == second.json()["seen"]


def test_startup_and_shutdown_hooks_run_around_the_requests(
    serve: Serve, journal: Journal, framework: Framework, server_kind: Server
) -> None:
    """The framework's own hooks run under the guard, the last of them on SIGTERM, where the server has a lifespan."""
    with serve() as server:
        httpx.get(f"{server.url}/session", headers=new_key(), timeout=30, trust_env=False).raise_for_status()

    has_lifespan = framework.has_lifespan and server_kind.has_lifespan
    expected = ["started", "session", "stopped"] if has_lifespan else [*framework.without_lifespan, "session"]
    assert expected == journal.events


@pytest.mark.only("flask")
@pytest.mark.parametrize(
    ("name", "sign"),
    [("daphne", "Killed 1 pending application instances"), ("granian", "waits for 1 pending requests")],
)
def test_a_server_ends_although_a_thread_has_still_to_send(
    tmp_path: Path, record_property: Callable[[str, object], None], name: str, sign: str
) -> None:
    """It stops its loop; a client that has the whole answer does not know that its request goes on."""
    record_property("server", name)
    end = tmp_path / "end"
    os.mkfifo(end)
    env = {"APP_JOURNAL": os.devnull, "SESSIONGUARD_STORE": f"disk://{tmp_path / 'sessions'}"}
    with serving(name, "flask_app:app", tmp_path, env=env) as server:
        url, params = f"{server.url}/early", {"end": str(end)}
        response = httpx.get(url, params=params, headers=new_key(), timeout=30, trust_env=False)
        server.process.terminate()
        server.wait_until_it_says(sign)
        end.write_bytes(b"")

        assert "whole" == response.text
        assert 0 == server.process.wait(30)


def test_what_the_application_writes_stays_inside_the_guard(client: httpx.Client) -> None:
    """With a key the application works on a copy: middleware outside sees none of its writes."""
    response = client.get("/mark", headers=new_key())

    assert (200, "") == (response.status_code, response.headers["x-outside"])


def test_what_the_application_writes_is_visible_without_a_key(client: httpx.Client, framework: Framework) -> None:
    """Without a key there is no copy: middleware outside sees what this framework writes into a scope."""
    response = client.get("/mark")

    assert framework.scope_writes <= set(response.headers["x-outside"].split())


def test_an_exception_is_the_frameworks_ordinary_500(client: httpx.Client, framework: Framework) -> None:
    """The answer to a failure is the one this framework gives without a key."""
    ordinary = client.get("/crash")
    with_key = client.get("/crash", headers=new_key())

    assert 500 == with_key.status_code
    assert answer(ordinary) == answer(with_key)
    assert framework.crash_origin == with_key.headers.get(STATUS)


def test_an_exception_leaves_the_row(client: httpx.Client) -> None:
    """A conversation whose first request failed goes on with the id it was given."""
    key = new_key()
    client.get("/crash", headers=key)

    assert "existing" == client.get("/session", headers=key).headers[STATUS]
