"""Every hook of section 6 of the design, seen from outside: through a guard and HTTP."""

from __future__ import annotations

import inspect
import logging
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from sessionguard import (
    PolicyFailed,
    Refusal,
    Resolution,
    SessionForbidden,
    SessionGuard,
    SessionKeyRequired,
    SessionStore,
    get_resolution,
    hookimpl,
)
from sessionguard.asgi import ASGIApp, Message, Receive, Scope, Send
from sessionguard.hookspecs import SessionGuardHooks
from sessionguard.observers import observer
from sessionguard.policy import Hooks, first_answer
from sessionguard.settings import GuardSettings
from sessionguard.stores.disk.store import DiskStore
from sessionguard.stores.memory import MemoryStore

KEY = "x-openclaw-session-key"
CANONICAL = "agent:main:a"
HOOKS = [name for name in vars(SessionGuardHooks) if name.startswith("sessionguard_")]
DECIDING = [
    "sessionguard_session_key",
    "sessionguard_principal",
    "sessionguard_explicit_session_id",
    "sessionguard_suppress_visible_effects",
    "sessionguard_new_session_id",
]
WATCHING = ["sessionguard_session_resolved", "sessionguard_request_refused", "sessionguard_store_called"]


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the session id, and the canonical key in a header."""
    found = "sessionguard" in scope
    key = (get_resolution(scope).session_key or "") if found else ""
    headers = [(b"x-key", key.encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": scope.get("session_id", "").encode()})


def guarded(*plugins: object, **options: Any) -> SessionGuard:
    return SessionGuard(app, **{"store": "memory:", "plugins": plugins, **options})


async def post(guard: SessionGuard, key: str | None = "a", **headers: str) -> httpx.Response:
    """Send one request through the guard."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    if key is not None:
        names[KEY] = key
    async with httpx.AsyncClient(transport=httpx.ASGITransport(guard), base_url="http://guard") as client:
        return await client.post("/", headers=names)


def status(response: httpx.Response) -> str | None:
    """How the id was found, None where nobody looked."""
    answer: str | None = response.headers.get("x-sessionguard-status")
    return answer


async def rows(store: SessionStore) -> dict[str, str]:
    return {key: record.session_id async for key, record in store.scan()}


def plugin(hook: str, answer: Callable[[], object], name: str = "Lantern") -> object:
    """A plugin of one hook that leaves out all arguments."""
    return type(name, (), {hook: hookimpl(lambda self: answer())})()


def answering(hook: str, value: object, name: str = "Lantern") -> object:
    return plugin(hook, lambda: value, name)


def raising(hook: str, error: Exception) -> object:
    def fail() -> None:
        raise error

    return plugin(hook, fail)


async def _late() -> None:
    """What an answer must not be."""


def header_of(scope: Scope, name: bytes) -> str | None:
    return next((value.decode() for header, value in scope["headers"] if header == name), None)


class Principals:
    """Knows people by a header."""

    @hookimpl
    def sessionguard_principal(self, scope: Scope) -> str | None:
        return header_of(scope, b"x-user")


async def test_hook_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plugin names the variables it reads, and the guard starts although it does not know them itself."""

    class Lantern:
        @hookimpl
        def sessionguard_settings(self) -> Mapping[str, str]:
            return {"SESSIONGUARD_LANTERN": "how bright"}

    monkeypatch.setenv("SESSIONGUARD_LANTERN", "bright")
    assert status(await post(guarded(Lantern()))) == "new"


async def test_hook_register_stores() -> None:
    """A plugin brings a store by its scheme; it is made from the URL and the settings."""
    made: list[tuple[str, GuardSettings]] = []
    store = MemoryStore()

    class Lantern:
        @hookimpl
        def sessionguard_register_stores(self) -> Mapping[str, Callable[[str, GuardSettings], SessionStore]]:
            return {"lantern": self.make}

        def make(self, url: str, settings: GuardSettings) -> SessionStore:
            made.append((url, settings))
            return store

    response = await post(guarded(Lantern(), store="lantern://shelf", namespace="n"))

    assert [("lantern://shelf", "n")] == [(url, settings.namespace) for url, settings in made]
    assert {f"n//{CANONICAL}": response.text} == await rows(store)


async def test_hook_wrap_app() -> None:
    """A plugin puts middleware between the guard and the application; it sees the resolved scope."""
    seen: list[str] = []

    class Lantern:
        @hookimpl
        def sessionguard_wrap_app(self, app: ASGIApp, settings: GuardSettings, store: SessionStore) -> ASGIApp:
            async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
                seen.append(f"{scope['session_id']} in {settings.namespace} on {store.coordination}")
                await app(scope, receive, send)

            return wrapped

    response = await post(guarded(Lantern()))
    assert seen == [f"{response.text} in default on process"]


class Gate:
    """Middleware that asks and tells plugins, as a turn gate does."""

    @hookimpl
    def sessionguard_wrap_app(self, app: ASGIApp, hooks: Hooks) -> ASGIApp:
        tell = observer("sessionguard_turn_waited", hooks["sessionguard_turn_waited"])

        async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
            resolution = scope.get("sessionguard")
            _, mode = first_answer(hooks["sessionguard_turn_mode"], scope, resolution) if resolution else ("", None)
            if mode is not None and tell is not None:
                tell(scope, mode, 0.0)
            await app(scope, receive, send)

        return wrapped


async def test_hook_turn_mode() -> None:
    """Middleware between guard and application may ask it; the plugin sees the scope and how it was resolved."""
    seen: list[tuple[str, str]] = []

    class Lantern:
        @hookimpl
        def sessionguard_turn_mode(self, scope: Scope, resolution: Resolution) -> str | None:
            seen.append((scope["path"], resolution.origin.value))
            return None

    await post(guarded(Gate(), Lantern()))
    assert [("/", "new")] == seen


async def test_hook_turn_waited() -> None:
    """Middleware between guard and application may tell it."""
    seen: list[tuple[str, float]] = []

    class Lantern:
        @hookimpl
        def sessionguard_turn_waited(self, outcome: str, seconds: float) -> None:
            seen.append((outcome, seconds))

    await post(guarded(Gate(), Lantern(), answering("sessionguard_turn_mode", "wait", "Other")))
    assert [("wait", 0.0)] == seen


async def test_each_plugin_wraps_what_the_previous_one_returned() -> None:
    """The plugin registered last is asked first, so its middleware is the innermost."""
    order: list[str] = []

    def wrapper(name: str) -> object:
        class Wrapper:
            @hookimpl
            def sessionguard_wrap_app(self, app: ASGIApp) -> ASGIApp:
                async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
                    order.append(name)
                    await app(scope, receive, send)

                return wrapped

        return Wrapper()

    await post(guarded(wrapper("handed over first"), wrapper("handed over last")))
    assert order == ["handed over first", "handed over last"]


async def test_hook_session_key() -> None:
    """A plugin finds the key where it likes; the rules of keys apply to what it found."""

    class Lantern:
        @hookimpl
        def sessionguard_session_key(self, scope: Scope) -> tuple[str, str | None] | None:
            chat = header_of(scope, b"x-chat")
            return None if chat is None else (chat, "Ops")

    guard = guarded(Lantern())

    assert (await post(guard, None, x_chat=" Chat ")).headers["x-key"] == "agent:ops:chat"
    assert (await post(guard, None, x_chat="cron:x")).json()["error"]["code"] == "reserved_session_key"
    assert (await post(guard, "a")).headers["x-key"] == CANONICAL
    assert status(await post(guard, None)) is None


async def test_a_list_is_as_good_as_a_tuple() -> None:
    """Key and agent may come in either."""
    response = await post(guarded(answering("sessionguard_session_key", ["k", None])))
    assert response.headers["x-key"] == "agent:main:k"


async def test_hook_principal() -> None:
    """The same key under two principals is two conversations; nobody can reach the other's."""
    store = MemoryStore()
    guard = guarded(Principals(), store=store)

    alice, bob, again = [await post(guard, x_user=user) for user in ("alice", "bob", "alice")]

    assert alice.text == again.text != bob.text
    assert {f"default/alice/{CANONICAL}": alice.text, f"default/bob/{CANONICAL}": bob.text} == await rows(store)


@pytest.mark.parametrize("headers", [{}, {"x_user": ""}], ids=["None", "empty"])
async def test_a_request_without_a_principal_is_forbidden(headers: dict[str, str]) -> None:
    """Once somebody asks who is asking, nobody is no answer; nothing is written."""
    store = MemoryStore()
    response = await post(guarded(Principals(), store=store), **headers)

    assert (403, "session_forbidden") == (response.status_code, response.json()["error"]["code"])
    assert await rows(store) == {}


async def test_a_request_without_a_key_needs_no_principal() -> None:
    """Health checks pass: without a conversation there is nothing to protect."""
    assert (await post(guarded(Principals()), None)).status_code == 200


async def test_hook_explicit_session_id() -> None:
    """A plugin dictates the id, with or without a key; the store is neither read nor written."""
    seen: list[str | None] = []
    calls: list[str] = []

    class Lantern:
        @hookimpl
        def sessionguard_explicit_session_id(self, scope: Scope, session_key: str | None) -> str | None:
            seen.append(session_key)
            return header_of(scope, b"x-explicit")

        @hookimpl
        def sessionguard_store_called(self, verb: str) -> None:
            calls.append(verb)

    guard = guarded(Lantern())
    with_key = await post(guard, "a", x_explicit="dictated")
    without = await post(guard, None, x_explicit="dictated")

    assert ["dictated explicit", "dictated explicit"] == [f"{each.text} {status(each)}" for each in (with_key, without)]
    assert [CANONICAL, None] == seen
    assert calls == []
    assert status(await post(guard, "a")) == "new"


async def test_hook_suppress_visible_effects() -> None:
    """An internal handoff reads the conversation's row and never writes one."""
    store = MemoryStore()

    class Lantern:
        @hookimpl
        def sessionguard_suppress_visible_effects(self, scope: Scope, session_key: str | None) -> bool | None:
            return session_key == CANONICAL and header_of(scope, b"x-internal") is not None

    guard = guarded(Lantern(), store=store)

    assert status(await post(guard, x_internal="1")) == "ephemeral"
    assert await rows(store) == {}
    visible = await post(guard)
    internal = await post(guard, x_internal="1")
    assert (visible.text, "existing") == (internal.text, status(internal))


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([None, None], "new"),
        ([False, None], "new"),
        ([True, None], "ephemeral"),
        ([None, True], "ephemeral"),
        ([True, False], "ephemeral"),
        ([False, True], "ephemeral"),
    ],
)
async def test_any_true_makes_a_request_internal(verdicts: list[bool | None], expected: str) -> None:
    """A veto does not depend on the order of installation."""
    voters = [answering("sessionguard_suppress_visible_effects", verdict) for verdict in verdicts]
    assert expected == status(await post(guarded(*voters)))


async def test_every_verdict_is_checked() -> None:
    """A True does not hide another plugin's nonsense."""
    hook = "sessionguard_suppress_visible_effects"
    response = await post(guarded(answering(hook, "yes"), answering(hook, True)))
    assert response.json()["error"]["code"] == "policy_failed"


async def test_nobody_is_asked_to_mint_for_a_conversation_that_has_an_id(tmp_path: Path) -> None:
    """Not even by a process that has just started: a plugin that fails would refuse what needs nothing of it."""
    store = DiskStore(tmp_path / "sessions")
    first = await post(guarded(store=store))
    await store.aclose()
    failing = guarded(answering("sessionguard_new_session_id", 7), store=store)
    second, third = await post(failing), await post(failing, "another")
    await store.aclose()

    assert (status(first), status(second)) == ("new", "existing")
    assert third.status_code == 500


async def test_hook_new_session_id() -> None:
    """A plugin mints ids, or leaves it to the guard."""
    minted = {"agent:main:a": "lantern-1"}

    class Lantern:
        @hookimpl
        def sessionguard_new_session_id(self, session_key: str) -> str | None:
            return minted.get(session_key)

    guard = guarded(Lantern())

    assert ("lantern-1", "new") == ((response := await post(guard, "a")).text, status(response))
    assert len((await post(guard, "b")).text) == 36


async def test_a_minted_id_that_is_being_replaced_is_an_error() -> None:
    """An id derived from the key would make every reset a no-op; the plugin is named and the row stays."""
    now = [0]
    store = MemoryStore(clock=lambda: now[0])
    guard = guarded(answering("sessionguard_new_session_id", "always-me"), store=store, reset="idle=2h")
    assert (await post(guard)).text == "always-me"

    now[0] = 3 * 3_600_000
    response = await post(guard)

    assert response.status_code == 500
    assert "plugin Lantern minted the session id that is being replaced" in response.json()["error"]["message"]
    with pytest.raises(PolicyFailed, match="Lantern"):
        await guard.reset("a")
    assert await rows(store) == {f"default//{CANONICAL}": "always-me"}


async def test_an_ephemeral_id_never_comes_from_the_hook() -> None:
    """An id nobody else will get cannot be one that a plugin could repeat; the hook is not even asked."""
    asked: list[str] = []

    class Lantern:
        @hookimpl
        def sessionguard_new_session_id(self, session_key: str) -> str:
            asked.append(session_key)
            return "always-me"

        @hookimpl
        def sessionguard_suppress_visible_effects(self) -> bool:
            return True

    guard = guarded(Lantern())
    first, second = await post(guard), await post(guard)

    assert ["ephemeral", "ephemeral"] == [status(first), status(second)]
    assert len({first.text, second.text, "always-me"}) == 3
    assert asked == []


async def test_hook_session_resolved() -> None:
    """A plugin watches resolutions, before the application runs."""
    seen: list[tuple[str, Resolution]] = []

    class Lantern:
        @hookimpl
        def sessionguard_session_resolved(self, scope: Scope, resolution: Resolution) -> None:
            seen.append((scope["path"], resolution))

    guard = guarded(Lantern())
    response = await post(guard)
    await post(guard, None)

    [(path, resolution)] = seen
    assert ("/", response.text, CANONICAL) == (path, resolution.session_id, resolution.session_key)


async def test_hook_request_refused() -> None:
    """A plugin watches refusals."""
    seen: list[tuple[str, Refusal]] = []

    class Lantern:
        @hookimpl
        def sessionguard_request_refused(self, scope: Scope, error: Refusal) -> None:
            seen.append((scope["path"], error))

    response = await post(guarded(Lantern(), require_key=["/*"]), None)

    [(path, error)] = seen
    assert (path, type(error)) == ("/", SessionKeyRequired)
    assert error.message == response.json()["error"]["message"]


async def test_hook_store_called() -> None:
    """A plugin watches the calls that reach the store, and how long they took; what is remembered needs none."""
    seen: list[tuple[str, str]] = []
    times: list[float] = []

    class Lantern:
        @hookimpl
        def sessionguard_store_called(self, verb: str, outcome: str, seconds: float) -> None:
            seen.append((verb, outcome))
            times.append(seconds)

    guard = guarded(Lantern())
    await post(guard)
    await post(guard)

    assert seen == [("get", "ok"), ("reserve", "ok")]
    assert all(0 <= seconds < 60 for seconds in times)


class Recorder:
    """Implements every hook, decides nothing, and writes down that it was asked."""

    def __init__(self, name: str, calls: list[str]) -> None:
        self._name = name
        self._calls = calls

    def _note(self, hook: str) -> None:
        self._calls.append(f"{self._name} {hook}")

    @hookimpl
    def sessionguard_settings(self) -> Mapping[str, str]:
        self._note("settings")
        return {}

    @hookimpl
    def sessionguard_register_stores(self) -> Mapping[str, Any]:
        self._note("register_stores")
        return {}

    @hookimpl
    def sessionguard_wrap_app(self, app: ASGIApp, settings: GuardSettings, store: SessionStore) -> ASGIApp:
        self._note("wrap_app")
        return app

    @hookimpl
    def sessionguard_session_key(self, scope: Scope) -> None:
        self._note("session_key")

    @hookimpl
    def sessionguard_principal(self, scope: Scope) -> str | None:
        self._note("principal")
        return header_of(scope, b"x-user")

    @hookimpl
    def sessionguard_explicit_session_id(self, scope: Scope, session_key: str | None) -> None:
        self._note(f"explicit_session_id {session_key}")

    @hookimpl
    def sessionguard_suppress_visible_effects(self, scope: Scope, session_key: str | None) -> None:
        self._note(f"suppress_visible_effects {session_key}")

    @hookimpl
    def sessionguard_new_session_id(self, session_key: str) -> None:
        self._note(f"new_session_id {session_key}")

    @hookimpl
    def sessionguard_session_resolved(self, scope: Scope, resolution: Resolution) -> None:
        self._note(f"session_resolved {resolution.origin.value}")

    @hookimpl
    def sessionguard_request_refused(self, scope: Scope, error: Refusal) -> None:
        self._note(f"request_refused {error.code}")

    @hookimpl
    def sessionguard_turn_mode(self, scope: Scope, resolution: Resolution) -> str | None:
        self._note("turn_mode")
        return self._name if self._name == "A" else None

    @hookimpl
    def sessionguard_turn_waited(self, scope: Scope, outcome: str, seconds: float) -> None:
        self._note(f"turn_waited {outcome}")

    @hookimpl
    def sessionguard_store_called(self, verb: str, outcome: str, seconds: float) -> None:
        self._note(f"store_called {verb} {outcome}")


GOLDEN = {
    "building the guard": [
        "A settings",
        "B settings",
        "A register_stores",
        "B register_stores",
        "B wrap_app",
        "A wrap_app",
    ],
    "one request": [
        "B session_key",
        "A session_key",
        "B principal",
        "B explicit_session_id agent:main:a",
        "A explicit_session_id agent:main:a",
        "B suppress_visible_effects agent:main:a",
        "A suppress_visible_effects agent:main:a",
        "B store_called get ok",
        "A store_called get ok",
        "B new_session_id agent:main:a",
        "A new_session_id agent:main:a",
        "B store_called reserve ok",
        "A store_called reserve ok",
        "B session_resolved new",
        "A session_resolved new",
        "B turn_mode",
        "A turn_mode",
        "B turn_waited A",
        "A turn_waited A",
        "the application",
    ],
    "one refused request": [
        "B session_key",
        "A session_key",
        "B principal",
        "A principal",
        "B request_refused session_forbidden",
        "A request_refused session_forbidden",
    ],
    "one request without a key": [
        "B session_key",
        "A session_key",
        "B explicit_session_id None",
        "A explicit_session_id None",
        "B suppress_visible_effects None",
        "A suppress_visible_effects None",
        "the application",
    ],
}


async def test_the_order_of_all_hooks() -> None:
    """The golden record: the hooks in the order of their manual, the plugin handed over last first."""
    calls: list[str] = []
    happened: dict[str, list[str]] = {}

    async def last(scope: Scope, receive: Receive, send: Send) -> None:
        calls.append("the application")
        await app(scope, receive, send)

    def chapter(name: str) -> None:
        happened[name] = calls[:]
        calls.clear()

    recorders = [Recorder("A", calls), Recorder("B", calls)]
    guard = SessionGuard(last, store="memory:", plugins=[*recorders, Gate()])
    chapter("building the guard")
    await post(guard, x_user="alice")
    chapter("one request")
    await post(guard)
    chapter("one refused request")
    await post(guard, None)
    chapter("one request without a key")

    assert GOLDEN == happened


def test_the_golden_record_holds_every_hook() -> None:
    """A new hook has a place in it."""
    recorded = {call.split()[1] for calls in GOLDEN.values() for call in calls if call != "the application"}
    assert {f"sessionguard_{name}" for name in recorded} == set(HOOKS)


@pytest.mark.once
def test_every_hook_has_a_manual_and_a_test() -> None:
    """Its docstring explains every argument and the answer; a test named after it shows what it does."""
    assert [hook for hook in HOOKS if not _is_explained(getattr(SessionGuardHooks, hook))] == []
    assert [hook for hook in HOOKS if f"test_hook_{hook.removeprefix('sessionguard_')}" not in globals()] == []


def _is_explained(hook: Callable[..., object]) -> bool:
    manual = inspect.getdoc(hook) or ""
    signature = inspect.signature(hook)
    explained = [name for name in signature.parameters if f":param {name}: " in manual]
    return [*signature.parameters][1:] == explained and (
        (":returns: " in manual) == (signature.return_annotation != "None")
    )


def _module() -> types.ModuleType:
    module = types.ModuleType("lantern")
    vars(module)["sessionguard_new_session_id"] = hookimpl(lambda: "lantern-1")
    return module


class Minter:
    """A plugin that can be handed over as a class or as an object."""

    @hookimpl
    def sessionguard_new_session_id(self) -> str:
        return "lantern-1"


@pytest.mark.parametrize("handed", [Minter(), Minter, _module()], ids=["an object", "a class", "a module"])
async def test_a_plugin_can_be_handed_over_without_packaging(handed: object) -> None:
    """`plugins=[...]` takes objects, classes and modules."""
    assert (await post(guarded(handed))).text == "lantern-1"


async def test_the_plugin_handed_over_last_answers_first() -> None:
    """Unless another one asks to be first."""
    hook = "sessionguard_new_session_id"
    assert (await post(guarded(answering(hook, "first"), answering(hook, "last")))).text == "last"

    class Eager:
        @hookimpl(tryfirst=True)
        def sessionguard_new_session_id(self) -> str:
            return "eager"

    assert (await post(guarded(Eager(), answering(hook, "last")))).text == "eager"


async def test_arguments_may_be_left_out_and_reordered() -> None:
    """An implementation names the arguments it needs, in any order."""
    seen: list[object] = []

    class Lantern:
        @hookimpl
        def sessionguard_session_resolved(self, resolution: Resolution, scope: Scope) -> None:
            seen.append((resolution.session_key, scope["type"]))

        @hookimpl
        def sessionguard_store_called(self, seconds: float, verb: str) -> None:
            seen.append((type(seconds), verb))

    await post(guarded(Lantern()))
    assert seen == [(float, "get"), (float, "reserve"), (CANONICAL, "http")]


NONSENSE: list[tuple[str, object]] = [
    ("sessionguard_session_key", "a"),
    ("sessionguard_session_key", ("a",)),
    ("sessionguard_session_key", (b"a", None)),
    ("sessionguard_session_key", ("a", 7)),
    ("sessionguard_session_key", 7),
    ("sessionguard_principal", 7),
    ("sessionguard_principal", 0),
    ("sessionguard_principal", b"alice"),
    ("sessionguard_explicit_session_id", ""),
    ("sessionguard_explicit_session_id", "a b"),
    ("sessionguard_explicit_session_id", "x" * 257),
    ("sessionguard_explicit_session_id", 7),
    ("sessionguard_suppress_visible_effects", 1),
    ("sessionguard_suppress_visible_effects", "no"),
    ("sessionguard_new_session_id", ""),
    ("sessionguard_new_session_id", "caf\xe9"),
    ("sessionguard_new_session_id", 7),
]


async def _assert_closed(broken: object, caplog: pytest.LogCaptureFixture, reason: str) -> None:
    store = MemoryStore()
    response = await post(guarded(broken, store=store))

    assert (500, "policy_failed") == (response.status_code, response.json()["error"]["code"])
    assert response.headers["x-should-retry"] == "false"
    assert f"The plugin Lantern {reason}" in response.json()["error"]["message"]
    assert "plugin Lantern" in caplog.text
    assert await rows(store) == {}


@pytest.mark.parametrize(("hook", "value"), NONSENSE)
async def test_a_deciding_hook_that_answers_nonsense_fails_the_request(
    hook: str, value: object, caplog: pytest.LogCaptureFixture
) -> None:
    """500 `policy_failed`, not to be retried, the plugin named, no row written."""
    await _assert_closed(answering(hook, value), caplog, f"gave an illegal answer to {hook}; it must be ")


@pytest.mark.parametrize("hook", DECIDING)
async def test_a_deciding_hook_that_raises_fails_the_request(hook: str, caplog: pytest.LogCaptureFixture) -> None:
    """Closed, too; the client does not learn the reason, the log does."""
    await _assert_closed(raising(hook, KeyError("the wick")), caplog, "failed while deciding")
    assert "the wick" in caplog.text


@pytest.mark.parametrize("hook", DECIDING)
async def test_a_deciding_hook_that_answers_a_coroutine_fails_the_request(
    hook: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Hooks are plain functions; a coroutine would be true in every sense."""
    await _assert_closed(plugin(hook, _late), caplog, "answered with an awaitable")


class _Awaitable:
    def __await__(self) -> Any:
        raise AssertionError("nobody awaits a hook's answer")


@pytest.mark.parametrize("hook", DECIDING)
async def test_a_deciding_hook_that_answers_another_awaitable_fails_the_request(
    hook: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Futures and the like are refused as coroutines are."""
    await _assert_closed(answering(hook, _Awaitable()), caplog, "answered with an awaitable")


class TooMany(Refusal):
    """A refusal this package does not know."""

    status = 429
    code = "too_many"
    retry_after = 7


@pytest.mark.parametrize("hook", DECIDING)
@pytest.mark.parametrize(("error", "code"), [(SessionForbidden("Not you."), 403), (TooMany("Not now."), 429)])
async def test_a_refusal_that_a_hook_raises_is_the_answer(hook: str, error: Refusal, code: int) -> None:
    """A deciding hook may say no in its own words."""
    store = MemoryStore()
    response = await post(guarded(raising(hook, error), store=store))

    assert (code, error.message) == (response.status_code, response.json()["error"]["message"])
    assert await rows(store) == {}


async def _two_requests(guard: SessionGuard) -> Sequence[int]:
    """One that is resolved and one that is refused, so that every observer is called."""
    return [(await post(guard)).status_code, (await post(guard, "a,b")).status_code]


@pytest.mark.parametrize("hook", WATCHING)
async def test_an_observer_that_fails_is_logged_and_breaks_nothing(hook: str, caplog: pytest.LogCaptureFixture) -> None:
    """Watching is not deciding: the request goes on, and the others are told."""
    told: list[str] = []
    other = plugin(hook, lambda: told.append(hook), "Other")

    assert await _two_requests(guarded(other, raising(hook, KeyError("the wick")))) == [200, 400]

    assert f"the plugin Lantern failed in {hook}" in caplog.text
    assert "the wick" in caplog.text
    assert told


@pytest.mark.parametrize("hook", WATCHING)
async def test_an_observer_that_answers_a_coroutine_is_logged_and_breaks_nothing(
    hook: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The coroutine is closed; nobody would ever run it."""
    assert await _two_requests(guarded(plugin(hook, _late))) == [200, 400]
    assert f"the plugin Lantern answered {hook} with a coroutine" in caplog.text


async def test_hooks_are_not_asked_about_other_scopes() -> None:
    """Lifespan and whatever comes later pass by."""
    calls: list[str] = []
    guard = guarded(Recorder("A", calls))
    calls.clear()
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "lantern.event"}

    async def send(message: Message) -> None:
        sent.append(message)

    await guard({"type": "lantern"}, receive, send)
    assert calls == []


async def test_a_guard_without_a_principal_hook_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    """The session key is not a credential; the operator should know."""
    caplog.set_level(logging.WARNING, "sessionguard")
    guard = guarded()
    await post(guard)
    await post(guard)
    assert caplog.text.count("no plugin says who is asking") == 1
