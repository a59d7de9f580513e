"""Who gets the page, and what it says, in process."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from sessionguard_status import StatusPlugin

from sessionguard import ConfigurationError, SessionGuard, SessionStore, StoreUnavailable, hookimpl
from sessionguard.keys import fingerprint, row_key
from sessionguard.stores.memory import MemoryStore
from sessionguard.testing import AppProbe, Exchange

pytestmark = pytest.mark.lowest

README = (Path(__file__).parents[1] / "README.md").read_text()


class Users:
    @hookimpl
    def sessionguard_principal(self, scope: Any) -> str | None:
        return next((value.decode() for name, value in scope["headers"] if name == b"x-user"), None)


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESSIONGUARD_STATUS_PATH", "/_sessions")
    monkeypatch.setenv("SESSIONGUARD_STATUS_PRINCIPALS", "ada, grace")


def guarded(store: SessionStore | str = "memory:", *plugins: Any, **options: Any) -> SessionGuard:
    return SessionGuard(AppProbe(), store=store, plugins=plugins or [Users, StatusPlugin], **options)


async def look(guard: SessionGuard, user: str | None = "ada", **scope: Any) -> Exchange:
    headers = [] if user is None else [(b"x-user", user.encode())]
    return await Exchange(guard, headers, **{"method": "GET", "path": "/_sessions", **scope}).run()


async def use(guard: SessionGuard, key: str = "my-chat") -> Exchange:
    return await Exchange(guard, [(b"x-openclaw-session-key", key.encode()), (b"x-user", b"ada")]).run()


def text(exchange: Exchange) -> str:
    body = b"".join(message.get("body", b"") for message in exchange.sent).decode()
    return " ".join(re.sub(r"<style>.*</style>|<[^>]+>", " ", body, flags=re.DOTALL).split())


@pytest.mark.usefixtures("page")
@pytest.mark.parametrize(("user", "status"), [("ada", 200), ("grace", 200), ("mallory", 403), ("", 403), (None, 403)])
async def test_only_those_who_are_named_may_look(user: str | None, status: int) -> None:
    assert (await look(guarded(), user)).status == status


@pytest.mark.usefixtures("page")
async def test_a_principal_plugin_that_fails_shows_nothing() -> None:
    class Broken:
        @hookimpl
        def sessionguard_principal(self, scope: Any) -> str | None:
            raise RuntimeError("broken")

    assert (await look(guarded("memory:", Broken, StatusPlugin))).status == 500


async def test_without_a_path_there_is_no_page() -> None:
    """The application answers, as if nothing were installed."""
    exchange = await look(guarded())

    assert text(exchange) == "ok"


@pytest.mark.parametrize(
    ("path", "principals", "told"),
    [
        pytest.param("_sessions", "ada", "must begin with /", id="no path"),
        pytest.param("/", "ada", "must begin with /", id="the root"),
        pytest.param("/_sessions", "", "nobody may look", id="nobody"),
        pytest.param("", "ada", "no page is", id="no page"),
    ],
)
def test_a_page_that_nobody_could_see_stops_the_start(
    path: str, principals: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SESSIONGUARD_STATUS_PATH", path)
    monkeypatch.setenv("SESSIONGUARD_STATUS_PRINCIPALS", principals)
    with pytest.raises(ConfigurationError, match=told):
        guarded()


@pytest.mark.usefixtures("page")
def test_a_page_without_anybody_who_says_who_asks_stops_the_start() -> None:
    with pytest.raises(ConfigurationError, match="no plugin says who is asking"):
        guarded("memory:", StatusPlugin)


@pytest.mark.usefixtures("page")
@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("POST", 405), ("DELETE", 405)])
async def test_the_page_can_be_read_and_nothing_else(method: str, status: int) -> None:
    exchange = await look(guarded(), method=method)

    assert exchange.status == status
    assert text(exchange) == ""


@pytest.mark.usefixtures("page")
async def test_no_cache_may_keep_it_and_no_script_may_run() -> None:
    headers = (await look(guarded())).headers

    assert headers["cache-control"] == "no-store"
    assert headers["content-security-policy"].startswith("default-src 'none'")


@pytest.mark.usefixtures("page")
async def test_looking_writes_nothing() -> None:
    store = MemoryStore()
    await look(guarded(store))

    assert [pair async for pair in store.scan()] == []


@pytest.mark.usefixtures("page")
async def test_conversations_are_shown_by_the_hash_of_their_key() -> None:
    guard = guarded()
    await use(guard, "secret-chat")
    shown = text(await look(guard))

    assert fingerprint("agent:main:secret-chat") in shown
    assert "secret-chat" not in shown
    assert "1 in this namespace" in shown


@pytest.mark.usefixtures("page")
async def test_those_of_another_namespace_are_not_shown() -> None:
    store = MemoryStore()
    await store.reserve(row_key("elsewhere", None, "agent:main:chat"), "elsewhere-id", None)

    assert "elsewhere-id" not in text(await look(guarded(store)))


@pytest.mark.usefixtures("page")
async def test_of_very_many_conversations_the_page_says_that_there_are_more() -> None:
    """It reads two thousand and shows fifty, the newest of them."""
    store = MemoryStore(clock=iter(range(10**13, 10**14)).__next__)
    for number in range(2100):
        await store.reserve(row_key("default", None, f"agent:main:{number:04}"), f"id-{number:04}", None)
    shown = text(await look(guarded(store)))

    assert "At least 2000 in this namespace; the latest of those 50:" in shown
    assert re.findall(r"id-\d{4}", shown) == [f"id-{number:04}" for number in range(1999, 1949, -1)]


@pytest.mark.usefixtures("page")
async def test_origins_and_refusals_are_counted() -> None:
    guard = guarded()
    for _ in range(3):
        await use(guard)
    await use(guard, "cron:nightly")
    exchange = await look(guard)
    shown = text(exchange)

    assert "new 1" in shown
    assert "existing 2" in shown
    assert "refused: reserved_session_key 1" in shown
    assert "1 new, 0 min ago" in shown


@pytest.mark.usefixtures("page")
async def test_a_store_that_does_not_answer_is_shown_as_that() -> None:
    class Down(MemoryStore):
        async def ping(self) -> int:
            raise StoreUnavailable("the disk is on fire")

    shown = text(await look(guarded(Down())))

    assert "does not answer: the disk is on fire" in shown
    assert "cannot be shown while the store does not answer" in shown


@pytest.mark.usefixtures("page")
async def test_what_a_store_says_is_never_markup() -> None:
    class Hostile(MemoryStore):
        @property
        def location(self) -> str:
            return "<script>alert(1)</script>"

    exchange = await look(guarded(Hostile()))

    assert b"<script>" not in exchange.sent[1]["body"]


@pytest.mark.usefixtures("page")
async def test_a_mounted_application_has_its_page_below_its_root() -> None:
    assert (await look(guarded(), path="/mounted/_sessions", root_path="/mounted")).status == 200
    assert text(await look(guarded(), path="/_sessions", root_path="/mounted")) == "ok"


async def test_the_lines_of_the_readme_make_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    [block] = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    run = subprocess.run(["bash", "-c", f"{block}env"], capture_output=True, text=True, check=True)
    for name, value in (line.split("=", 1) for line in run.stdout.splitlines() if line.startswith("SESSIONGUARD_")):
        monkeypatch.setenv(name, value)

    assert (await look(guarded(), "grace")).status == 200
