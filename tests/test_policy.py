"""What is asked, in which order, and what is made of the answers: paths, methods, explicit ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from sessionguard import ExplicitSession, Resolution, SessionGuard, hookimpl
from sessionguard.asgi import Message, Receive, Scope, Send
from sessionguard.stores.memory import MemoryStore

KEY = (b"x-openclaw-session-key", b"a")
CANONICAL = "agent:main:a"


class Conversation:
    """What came of one request: whether the application ran, what it saw, and what was sent."""

    def __init__(self) -> None:
        self.ran = False
        self.resolution: Resolution | None = None
        self.sent: list[Message] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.ran = True
        self.resolution = scope.get("sessionguard")

    @property
    def refused(self) -> str | None:
        """The status and body of the refusal."""
        return None if self.ran else f"{self.sent[0]['status']} {self.sent[1]['body'].decode()}"


async def ask(
    headers: Sequence[tuple[bytes, bytes]] = (), scope: dict[str, Any] | None = None, **options: Any
) -> Conversation:
    """Send one request; `scope` overrides what a server would say."""
    conversation = Conversation()

    async def receive() -> Message:
        raise AssertionError("the guard never reads a body")

    async def send(message: Message) -> None:
        conversation.sent.append(message)

    guard = SessionGuard(conversation, **{"store": "memory:", **options})
    request = {"type": "http", "method": "GET", "path": "/v1/chat", "headers": list(headers), **(scope or {})}
    await guard(request, receive, send)
    return conversation


REQUIRED = {
    "a path that matches": ("/v1/chat", ["/v1/*"], True),
    "a star crosses slashes": ("/v1/chat/completions", ["/v1/*"], True),
    "a path beside it": ("/v2/chat", ["/v1/*"], False),
    "the whole path must match": ("/prefix/v1/chat", ["/v1/*"], False),
    "not only its beginning": ("/v1/chat", ["/v1"], False),
    "any of several patterns": ("/b", ["/a", "/b"], True),
    "everything": ("/", ["*"], True),
    "a question mark is one character": ("/v1/", ["/v?/"], True),
    "a dot is a dot": ("/v1xjson", ["/v1.json"], False),
    "in this case": ("/V1/chat", ["/v1/*"], False),
    "no patterns": ("/v1/chat", [], False),
}


@pytest.mark.parametrize(("path", "patterns", "required"), REQUIRED.values(), ids=REQUIRED)
async def test_a_key_is_required_where_a_pattern_says_so(path: str, patterns: list[str], required: bool) -> None:
    """`require_key` holds path patterns; a request without a key is refused there and passes elsewhere."""
    conversation = await ask(scope={"path": path}, require_key=patterns)
    assert (not required) == conversation.ran
    assert required == ("session_key_required" in (conversation.refused or ""))


async def test_the_refusal_names_the_header_to_send() -> None:
    """Also when it is another one."""
    conversation = await ask(require_key="*", header="x-chat")
    assert "400" in (conversation.refused or "")
    assert "x-chat" in (conversation.refused or "")


async def test_a_request_with_a_key_passes_where_one_is_required() -> None:
    """Of course."""
    assert (await ask([KEY], require_key="*")).resolution is not None


@pytest.mark.parametrize(
    ("path", "patterns", "looked"),
    [("/health", ["/health"], False), ("/healthy", ["/health"], True), ("/static/a/b", ["/x", "/static/*"], False)],
)
async def test_no_key_is_looked_for_on_excluded_paths(path: str, patterns: list[str], looked: bool) -> None:
    """`exclude_paths`: the application runs without a session."""
    conversation = await ask([KEY], {"path": path}, exclude_paths=patterns)
    assert conversation.ran
    assert looked == (conversation.resolution is not None)


@pytest.mark.parametrize("headers", [[], [(KEY[0], b"a,b")]], ids=["no key", "an invalid key"])
async def test_an_excluded_path_is_never_refused(headers: list[tuple[bytes, bytes]]) -> None:
    """Exclusion wins over requirement, and an invalid key is not even read."""
    assert (await ask(headers, exclude_paths="/v1/*", require_key="*")).ran


@pytest.mark.parametrize("headers", [[], [KEY], [(KEY[0], b"a,b")]], ids=["no key", "a key", "an invalid key"])
async def test_options_passes_through(headers: list[tuple[bytes, bytes]]) -> None:
    """A preflight carries no conversation, whatever it says."""
    conversation = await ask(headers, {"method": "OPTIONS"}, require_key="*")
    assert (True, None) == (conversation.ran, conversation.resolution)


async def test_paths_count_for_websockets_too() -> None:
    """A handshake has a path and no method."""
    options: dict[str, Any] = {"require_key": "/v1/*"}
    conversation = await ask(scope={"type": "websocket", "method": None}, **options)
    assert [{"type": "websocket.close", "code": 1008, "reason": "session_key_required"}] == conversation.sent
    assert (await ask([KEY], {"type": "websocket", "method": None}, **options)).resolution is not None


class Forbidden:
    """A plugin that must not be asked."""

    @hookimpl
    def sessionguard_explicit_session_id(self) -> str:
        raise AssertionError("the scope has spoken")


@pytest.mark.parametrize(("headers", "key"), [([], None), ([KEY], CANONICAL)], ids=["without a key", "with a key"])
async def test_trusted_code_in_front_may_dictate_the_id(headers: list[tuple[bytes, bytes]], key: str | None) -> None:
    """An `ExplicitSession` in the scope wins over every plugin; nothing is read or written."""
    store = MemoryStore()
    marker = {"sessionguard.explicit": ExplicitSession("dictated")}
    conversation = await ask(headers, marker, plugins=[Forbidden()], store=store)

    resolution = conversation.resolution

    assert resolution is not None
    assert (key, "dictated", "explicit") == (resolution.session_key, resolution.session_id, resolution.origin)
    assert [] == [row async for row in store.scan()]


async def test_an_explicit_id_is_as_good_as_a_key() -> None:
    """Where a key is required, it need not be sent as well."""
    marker = {"sessionguard.explicit": ExplicitSession("dictated")}
    assert (await ask(scope=marker, require_key="*")).resolution is not None


@pytest.mark.parametrize(
    "marker",
    [
        "dictated",
        b"dictated",
        {"session_id": "dictated"},
        ["dictated"],
        True,
        ExplicitSession(""),
        ExplicitSession("a b"),
        ExplicitSession("x" * 257),
        ExplicitSession("a\r\nset-cookie: b"),
        ExplicitSession(7),  # type: ignore[arg-type]
    ],
    ids=ascii,
)
async def test_an_explicit_id_of_the_wrong_type_fails_the_request(marker: object) -> None:
    """It is compared by type: what could have come over a wire is an error, never an id, and never ignored."""
    refused = (await ask([KEY], {"sessionguard.explicit": marker})).refused or ""
    assert refused.startswith("500")
    assert "must be an ExplicitSession" in refused


async def test_no_marker_is_no_opinion() -> None:
    """None in the scope leaves the question to the plugins and to the store."""
    resolution = (await ask([KEY], {"sessionguard.explicit": None})).resolution
    assert resolution is not None
    assert resolution.origin == "new"


async def test_an_explicit_id_does_not_excuse_an_invalid_key() -> None:
    """The key is read first; invalid is never "no session"."""
    marker = {"sessionguard.explicit": ExplicitSession("dictated")}
    assert "invalid_session_key" in ((await ask([(KEY[0], b"a,b")], marker)).refused or "")


ORDER = ["session_key", "principal", "explicit_session_id", "suppress_visible_effects"]


@pytest.mark.parametrize("failing", ORDER)
async def test_the_first_decision_that_fails_ends_the_asking(failing: str) -> None:
    """Key, principal, explicit id, internal: in this order, and nothing is asked after a failure."""
    asked: list[str] = []

    def decide(name: str, answer: object) -> Any:
        def decision(self: object) -> object:
            asked.append(name)
            if name == failing:
                raise RuntimeError(name)
            return answer

        return hookimpl(decision)

    answers: list[object] = [("a", None), "alice", None, None]
    hooks = {f"sessionguard_{name}": decide(name, answer) for name, answer in zip(ORDER, answers, strict=True)}
    conversation = await ask(plugins=[type("Decider", (), hooks)])

    assert "The plugin Decider failed" in (conversation.refused or "")
    assert ORDER[: ORDER.index(failing) + 1] == asked


async def test_a_forbidden_request_says_nothing_about_the_path() -> None:
    """The principal is asked before anything else is made of the key."""

    class Nobody:
        @hookimpl
        def sessionguard_principal(self) -> None: ...

    refused = (await ask([KEY], {"sessionguard.explicit": "wrong"}, plugins=[Nobody()])).refused or ""
    assert refused.startswith("403")


async def test_a_required_key_is_missed_last() -> None:
    """A plugin that says no without a key is heard before the missing key is."""

    class Strict:
        @hookimpl
        def sessionguard_suppress_visible_effects(self) -> bool:
            raise RuntimeError("no")

    assert "policy_failed" in ((await ask(require_key="*", plugins=[Strict()])).refused or "")


async def test_an_internal_request_without_a_key_is_a_request_without_a_key() -> None:
    """There is no conversation whose row could be read."""

    class Internal:
        @hookimpl
        def sessionguard_suppress_visible_effects(self) -> bool:
            return True

    conversation = await ask(plugins=[Internal()])
    assert (True, None) == (conversation.ran, conversation.resolution)
    assert "session_key_required" in ((await ask(require_key="*", plugins=[Internal()])).refused or "")
