"""Around a request: starting and stopping, other middleware, failures."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import httpx
import pytest
from frameworks.framework import Framework
from frameworks.journal import Journal
from frameworks.requests import STATUS, answer, new_key
from servers.server import SERVERS, Server, record_server, serving

if TYPE_CHECKING:
    from frameworks.conftest import Cell, Serve

PREFIX = "/prefix"


class Restart(NamedTuple):
    """A conversation begun in one process and continued in another, which was told of a prefix and has ended."""

    first: httpx.Response
    second: httpx.Response
    events: Sequence[str]
    """Return the notes of the second process."""


@pytest.fixture(scope="session")
def restart(client: httpx.Client, serve: Serve, directory: Path, cell: Cell) -> Restart:
    """The one start that a cell has beside its server."""
    key = new_key()
    first = client.get("/session", headers=key)
    journal = Journal(directory / "journal")
    with serve(SERVERS[cell.server].root_path, PREFIX) as prefixed:
        second = httpx.get(f"{prefixed.url}/session", headers=key, timeout=30, trust_env=False)
    return Restart(first, second, journal.events)


@pytest.fixture
def finds_route(framework: Framework, server_kind: Server) -> bool:
    """Whether a request behind a proxy that has cut a prefix off is routed as without the proxy."""
    return framework.root_path == "cuts" or (framework.root_path == "demands") is server_kind.joins_root_path


def test_a_conversation_outlives_the_server(restart: Restart) -> None:
    """A new process finds the row that another has written."""
    assert ["new", "existing"] == [response.headers[STATUS] for response in (restart.first, restart.second)]


def test_a_root_path_does_not_change_the_conversation(restart: Restart, finds_route: bool) -> None:
    """Behind a proxy that has cut a prefix off, the same key meets the same id, in every place."""
    assert finds_route is (restart.second.status_code == 200)
    if finds_route:
        assert restart.first.json()["seen"] == restart.second.json()["seen"]


def test_startup_and_shutdown_hooks_run_around_the_requests(
    restart: Restart, framework: Framework, server_kind: Server, finds_route: bool
) -> None:
    """The framework's own hooks run under the guard, the last of them on SIGTERM, where the server has a lifespan."""
    session = ["session"] if finds_route else []
    has_lifespan = framework.has_lifespan and server_kind.has_lifespan
    expected = ["started", *session, "stopped"] if has_lifespan else [*framework.without_lifespan, *session]
    assert expected == restart.events


@pytest.mark.only("flask")
@pytest.mark.parametrize(
    ("name", "sign"),
    [("daphne", "Killed 1 pending application instances"), ("granian", "waits for 1 pending requests")],
)
def test_a_server_ends_although_a_thread_has_still_to_send(
    tmp_path: Path, record_property: Callable[[str, object], None], name: str, sign: str
) -> None:
    """It stops its loop; a client that has the whole answer does not know that its request goes on."""
    record_server(record_property, name)
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
    """The answer to a failure is the one this framework gives without a key, and leaves the row."""
    key = new_key()
    ordinary = client.get("/crash")
    with_key = client.get("/crash", headers=key)

    assert 500 == with_key.status_code
    assert answer(ordinary) == answer(with_key)
    assert framework.crash_origin == with_key.headers.get(STATUS)
    assert "existing" == client.get("/session", headers=key).headers[STATUS]
