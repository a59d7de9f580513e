"""docs/how-to/datasette.md, on a database of one table."""

from __future__ import annotations

import re
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from applications.conftest import HOW_TO, client_of, follow
from live import LiveServer

WHOAMI = """
from datasette import hookimpl
from datasette.utils.asgi import Response


@hookimpl
def register_routes():
    async def whoami(request):
        return Response.json([request.scope.get("session_id"), request.headers.get("x-openclaw-session-id")])

    return [("/whoami", whoami)]
"""


@pytest.fixture(scope="module")
def server(directory: Path) -> Iterator[LiveServer]:
    with closing(sqlite3.connect(directory / "data.db")) as database, database:
        database.execute("CREATE TABLE notes (text TEXT)")
        database.execute("INSERT INTO notes VALUES ('remember')")
    (directory / "plugins").mkdir()
    (directory / "plugins" / "whoami.py").write_text(WHOAMI)
    with follow("datasette", directory) as server:
        yield server


def test_a_table_is_served_as_before_and_says_how_its_session_came_about(server: LiveServer) -> None:
    """New, then known."""
    with client_of(server) as client:
        answers = [client.get("/data/notes.json?_shape=array") for _ in range(2)]

    assert [answer.json() for answer in answers] == [[{"rowid": 1, "text": "remember"}]] * 2
    assert [answer.headers["x-sessionguard-status"] for answer in answers] == ["new", "existing"]


def test_other_plugins_find_the_id_in_scope_and_headers(server: LiveServer) -> None:
    """The same in both, and in every request."""
    with client_of(server) as client:
        first, second = (client.get("/whoami").json() for _ in range(2))

    assert first == second
    assert len({*first}) == 1
    assert uuid.UUID(first[0])


def test_the_hook_may_return_the_class_with_its_arguments(tmp_path: Path) -> None:
    """As the page says of `functools.partial`."""
    sqlite3.connect(tmp_path / "data.db").close()
    [returned] = re.findall(r"`(functools\.partial\(.*?\))`", (HOW_TO / "datasette.md").read_text())
    instead = {"return SessionGuard": f"import functools; return {returned}"}
    with follow("datasette", tmp_path, instead) as server, client_of(server) as client:
        assert client.get("/-/versions.json").headers["x-sessionguard-status"] == "new"


def test_without_a_key_nothing_is_added(server: LiveServer) -> None:
    with client_of(server, "") as client:
        answer = client.get("/whoami")

    assert answer.json() == [None, None]
    assert "x-sessionguard-status" not in answer.headers
