"""Section 4 of the design as tables: one conversation has one spelling, and invalid is never "no session"."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from gateway import SAMPLES
from hypothesis import given
from hypothesis import strategies as st

from sessionguard import (
    AgentMismatch,
    InvalidAgentId,
    InvalidSessionKey,
    Refusal,
    ReservedSessionKey,
    SessionGuard,
    get_resolution,
)
from sessionguard.asgi import Message, Receive, Scope, Send
from sessionguard.keys import RESERVED, agent_id, canonical, fingerprint, row_key, split_row_key
from sessionguard.stores.memory import MemoryStore

KEY = b"x-openclaw-session-key"
AGENT = b"x-openclaw-agent-id"
AGENT_ALIAS = b"x-openclaw-agent"
REFUSALS = (InvalidSessionKey, ReservedSessionKey, InvalidAgentId, AgentMismatch)
NO_ROOM_FOR_CHANGE = 10_000

Headers = Iterable[tuple[bytes, bytes]]


class App:
    """An application that keeps the session key it was given; None while it has not run or found none."""

    def __init__(self) -> None:
        self.ran = False
        self.session_key: str | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.ran = True
        self.session_key = get_resolution(scope).session_key if "sessionguard" in scope else None
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})


async def _receive() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def request(headers: Headers, **options: Any) -> tuple[int, App, bytes]:
    """Send one request with exactly these headers; returns the status, the application, and the body."""
    app = App()
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    guard = SessionGuard(app, **{"store": "memory:", **options})
    await guard({"type": "http", "method": "POST", "path": "/", "headers": headers}, _receive, send)
    return sent[0]["status"], app, sent[1]["body"]


CANONICAL = {
    "a bare key is prefixed": ("final-1779465436", "agent:main:final-1779465436"),
    "main": ("main", "agent:main:main"),
    "main in capitals": ("MAIN", "agent:main:main"),
    "global stays unscoped": ("global", "global"),
    "global in capitals": ("GLOBAL", "global"),
    "unknown stays unscoped": ("Unknown", "unknown"),
    "global with a tail is a key like any other": ("global:1", "agent:main:global:1"),
    "a scoped global is kept": ("agent:main:GLOBAL", "agent:main:global"),
    "a scoped key is kept": ("agent:ops:x:y", "agent:ops:x:y"),
    "a scoped key is lower-cased": ("AGENT:Ops:X:Y", "agent:ops:x:y"),
    "spaces and tabs around are dropped": (" \t a \t ", "agent:main:a"),
    "every visible character but the comma": (
        "!#$%&'()*+-./;<=>?@[]^_`{|}~",
        "agent:main:!#$%&'()*+-./;<=>?@[]^_`{|}~",
    ),
    "the word agent at the end": ("support:agent", "agent:main:support:agent"),
    "the bare word agent": ("agent", "agent:main:agent"),
    "agent as the end of a word": ("useragent:x", "agent:main:useragent:x"),
    "a reserved word without a colon": ("cron", "agent:main:cron"),
    "a reserved word further in": ("job:cron:x", "agent:main:job:cron:x"),
    "a word that begins like a reserved one": ("hooks:x", "agent:main:hooks:x"),
    "a Signal group keeps its case": ("signal:group:AbC=", "agent:main:signal:group:AbC="),
    "a Signal group ends at the colon": ("Signal:Group:AbC:Thread:X", "agent:main:signal:group:AbC:thread:x"),
    "a scoped Signal group": ("agent:Ops:SIGNAL:group:AbC", "agent:ops:signal:group:AbC"),
    "a Signal direct chat is lower-cased": ("signal:direct:AbC", "agent:main:signal:direct:abc"),
    "Signal as the end of a word": ("xsignal:group:AbC", "agent:main:xsignal:group:abc"),
    "a Matrix room keeps its case": ("matrix:channel:!AbC:Server.Org", "agent:main:matrix:channel:!AbC:Server.Org"),
    "a Matrix group keeps its case": ("Matrix:Group:!AbC:S", "agent:main:matrix:group:!AbC:S"),
    "a Matrix thread marker is lower-cased": (
        "matrix:channel:!AbC:S:THREAD:$EvT",
        "agent:main:matrix:channel:!AbC:S:thread:$EvT",
    ),
    "a Matrix direct chat is lower-cased": ("matrix:direct:@AbC:S", "agent:main:matrix:direct:@abc:s"),
    "the longest key": ("x" * 256, f"agent:main:{'x' * 256}"),
    "the agent does not count": (f"agent:{'a' * 64}:{'x' * 256}", f"agent:{'a' * 64}:{'x' * 256}"),
    "padding does not count": (f"  {'x' * 256}  ", f"agent:main:{'x' * 256}"),
}


@pytest.mark.parametrize(("raw", "expected"), CANONICAL.values(), ids=CANONICAL)
def test_a_key_has_one_spelling(raw: str, expected: str) -> None:
    """`canonical` scopes, strips and lower-cases, and leaves opaque peer ids alone."""
    assert expected == canonical(raw)


REFUSED = {
    "empty": "",
    "blank": " \t ",
    "one byte too long": "x" * 257,
    "a whole megabyte": "x" * 2**20,
    "a comma": "a,b",
    "a space inside": "a b",
    "a tab inside": "a\tb",
    "a line feed at the end": "a\n",
    "a control character": "a\x1fb",
    "delete": "a\x7f",
    "not ASCII": "caf\xe9",
    "not Latin": "\u043a\u043b\u044e\u0447",
    "a lone surrogate": "a\udc80",
    "a colon at the start": ":a",
    "a colon at the end": "a:",
    "two colons": "a::b",
    "agent without a key": "agent:ops",
    "agent with an empty id": "agent::x",
    "agent with an empty key": "agent:ops:",
    "agent with an illegal id": "agent:o.ps:x",
    "agent with an over-long id": f"agent:{'a' * 65}:x",
    "agent in the middle": "a:agent:ops:x",
    "agent behind agent": "agent:main:agent:ops:x",
    "agent in the middle, in capitals": "a:AGENT:ops:x",
    "agent in a Matrix room": "matrix:channel:!a:AGENT:x",
}


@pytest.mark.parametrize("raw", REFUSED.values(), ids=REFUSED)
def test_a_malformed_key_is_refused(raw: str) -> None:
    """A key outside the grammar is an InvalidSessionKey, never something else and never silently mended."""
    with pytest.raises(InvalidSessionKey):
        canonical(raw)


@pytest.mark.parametrize("scope", ["", "agent:main:", "AGENT:Ops:"])
@pytest.mark.parametrize("word", sorted(RESERVED))
@pytest.mark.parametrize("spell", [str.lower, str.upper, str.title])
def test_a_reserved_namespace_is_refused(scope: str, word: str, spell: Callable[[str], str]) -> None:
    """The gateway's own namespaces are closed to clients, bare or scoped, in any case."""
    with pytest.raises(ReservedSessionKey):
        canonical(f"{scope}{spell(word)}:x")


def test_the_reserved_namespaces_are_those_of_the_design() -> None:
    """The list is part of the contract."""
    assert {"subagent", "cron", "acp", "harness", "hook", "internal-session-effects"} == RESERVED


AGENTS = {
    "none: the default": (None, "x", "agent:main:x"),
    "empty: the default": ("", "x", "agent:main:x"),
    "blank: the default": (" \t", "x", "agent:main:x"),
    "named": ("ops", "x", "agent:ops:x"),
    "padded": (" ops\t", "x", "agent:ops:x"),
    "in capitals": ("OPS", "x", "agent:ops:x"),
    "one character": ("7", "x", "agent:7:x"),
    "the longest": ("a" * 64, "x", f"agent:{'a' * 64}:x"),
    "every character": ("a_b-9", "x", "agent:a_b-9:x"),
    "with main": ("ops", "main", "agent:ops:main"),
    "with global": ("ops", "global", "global"),
    "the same as in the key": ("ops", "agent:ops:x", "agent:ops:x"),
    "the same in another case": ("Ops", "agent:oPs:x", "agent:ops:x"),
}


@pytest.mark.parametrize(("agent", "raw", "expected"), AGENTS.values(), ids=AGENTS)
def test_the_agent_named_beside_the_key_owns_it(agent: str | None, raw: str, expected: str) -> None:
    """An agent id scopes a bare key; without one the default agent does."""
    assert expected == canonical(raw, agent)


BAD_AGENTS = ["-a", "_a", "a.b", "a b", "a:b", "a,b", "a" * 65, "\xe9", "\u212a", "a\n", "main\x00"]


@pytest.mark.parametrize("agent", BAD_AGENTS, ids=ascii)
def test_an_agent_id_outside_the_grammar_is_refused(agent: str) -> None:
    """The grammar is ASCII: not even a letter whose lower case is ASCII passes."""
    with pytest.raises(InvalidAgentId):
        agent_id(agent)


@pytest.mark.parametrize("raw", ["agent:main:x", "AGENT:MAIN:x"])
def test_a_key_of_another_agent_is_refused(raw: str) -> None:
    """Key and agent header must not contradict each other."""
    with pytest.raises(AgentMismatch):
        canonical(raw, "ops")


def test_a_scoped_key_may_disagree_with_the_default_agent() -> None:
    """The default agent is no contradiction: nobody sent it."""
    assert canonical("agent:ops:x", default_agent="main") == "agent:ops:x"


def test_the_default_agent_can_be_another() -> None:
    """`default_agent` owns the keys that name no agent."""
    assert canonical("x", default_agent="ops") == "agent:ops:x"


ALPHABET = st.text(st.sampled_from("aAxX:!=- \t,\x7f\xe9"), max_size=20)
PARTS = st.sampled_from(
    [
        "agent",
        "Agent",
        "main",
        "OPS",
        "signal",
        "Signal",
        "group",
        "GROUP",
        "matrix",
        "channel",
        "thread",
        "Thread",
        "cron",
        "Hook",
        "global",
        "x",
        "AbC",
        "=",
        "!r",
    ]
)
KEYS = st.one_of(st.text(), ALPHABET, st.lists(PARTS, max_size=8).map(":".join))


@given(KEYS, st.one_of(st.none(), st.text(max_size=8), PARTS))
def test_any_text_is_a_key_or_one_of_four_refusals(raw: str, agent: str | None) -> None:
    """Whatever a client sends, `canonical` answers with a key or with a Refusal made for keys."""
    try:
        assert canonical(raw, agent)
    except Refusal as error:
        assert type(error) in REFUSALS


@given(KEYS)
def test_the_canonical_spelling_is_its_own_canonical_spelling(raw: str) -> None:
    """What the application sees can be sent again and names the same conversation."""
    try:
        key = canonical(raw)
    except Refusal:
        return
    assert canonical(key, max_length=NO_ROOM_FOR_CHANGE) == key


LONG = st.text("abcXYZ0189=-_.!,:\xe9", min_size=12)


@given(LONG, st.none() | LONG)
def test_a_refusal_never_repeats_what_was_sent(raw: str, agent: str | None) -> None:
    """Messages go to clients and logs; keys and agent ids do not."""
    try:
        canonical(raw, agent, max_length=20)
    except Refusal as error:
        assert raw not in error.message
        assert agent is None or agent not in error.message


TEXT = st.text(max_size=6) | st.text("/%#aA\udc80", max_size=6)
PLACES = st.tuples(TEXT, st.none() | TEXT.filter(bool), TEXT)


@given(PLACES)
def test_a_row_key_can_be_split_again(place: tuple[str, str | None, str]) -> None:
    """`split_row_key` undoes `row_key`, so that operators read keys and not encodings."""
    assert split_row_key(row_key(*place)) == place


@given(PLACES, PLACES)
def test_two_conversations_never_share_a_row(
    one: tuple[str, str | None, str], other: tuple[str, str | None, str]
) -> None:
    """The encoding of (namespace, principal, key) is injective, whatever characters the parts hold."""
    assert (row_key(*one) == row_key(*other)) == (one == other)


def test_slashes_move_nothing_from_one_part_into_another() -> None:
    """The attack the encoding exists for: a principal that spells another one's key."""
    places = set(itertools.product(["n", "n/a"], [None, "a", "a/b", "/"], ["b", "a/b", "/b"]))
    assert len(places) == len({row_key(*place) for place in places})


HASHED = st.tuples(st.just("n"), st.none() | TEXT.filter(bool), st.text("/%#aA", max_size=3))


@given(HASHED, HASHED)
def test_hashed_rows_are_as_separate_as_plain_ones(
    one: tuple[str, str | None, str], other: tuple[str, str | None, str]
) -> None:
    """With a secret, rows still differ exactly where conversations do."""
    assert (row_key(*one, secret="s" * 16) == row_key(*other, secret="s" * 16)) == (one == other)


def test_a_hashed_row_shows_neither_principal_nor_key() -> None:
    """With `key_secret` the store holds an HMAC; only the namespace stays readable."""
    hashed = row_key("team", "alice", "agent:main:x", "a secret of some length")
    assert hashed.startswith("team/#")
    assert "alice" not in hashed
    assert "main" not in hashed


def test_a_hashed_row_splits_into_namespace_and_hash() -> None:
    """A listing shows the hash where it cannot show the key."""
    hashed = row_key("team/a", "alice", "agent:main:x", "a secret of some length")
    namespace, principal, shown = split_row_key(hashed)
    assert (namespace, principal) == ("team/a", None)
    assert hashed.endswith(shown)


def test_another_secret_gives_another_row() -> None:
    """Without the secret nobody can compute where a conversation is kept."""
    assert row_key("n", None, "k", "one secret 01234") != row_key("n", None, "k", "another secret 01")


def test_a_secret_that_is_not_utf_8_works() -> None:
    """The environment may hold any bytes; Python hands them over as lone surrogates."""
    assert row_key("n", None, "k", "secret \udcff" * 4) != row_key("n", None, "k", "secret \udcfe" * 4)


def test_a_fingerprint_is_short_and_tells_keys_apart() -> None:
    """Logs name keys by eight hex digits."""
    assert len(fingerprint("agent:main:x")) == 8
    assert fingerprint("agent:main:x") != fingerprint("agent:main:y\udc80")


def _tuple(headers: Headers) -> Headers:
    return tuple(headers)


def _generator(headers: Headers) -> Headers:
    return (header for header in headers)


SEEN: dict[str, tuple[list[tuple[bytes, bytes]], str | None]] = {
    "no headers": ([], None),
    "the name in mixed case": ([(b"X-OpenClaw-Session-Key", b"a")], "agent:main:a"),
    "the name in capitals": ([(KEY.upper(), b"a")], "agent:main:a"),
    "the name spelled with underscores is another name": ([(KEY.replace(b"-", b"_"), b"a")], None),
    "spaces and tabs around": ([(KEY, b" \ta\t ")], "agent:main:a"),
    "an empty value is absent": ([(KEY, b"")], None),
    "a blank value is absent": ([(KEY, b" \t ")], None),
    "empty values are dropped first": ([(KEY, b""), (KEY, b"a"), (KEY, b" ")], "agent:main:a"),
    "the same value twice": ([(KEY, b"a"), (KEY.title(), b"a ")], "agent:main:a"),
    "as long as may be": ([(KEY, b"x" * 256)], f"agent:main:{'x' * 256}"),
    "a Signal group": ([(KEY, b"Signal:Group:AbC=")], "agent:main:signal:group:AbC="),
    "a Matrix room": ([(KEY, b"matrix:channel:!AbC:S:THREAD:$T")], "agent:main:matrix:channel:!AbC:S:thread:$T"),
    "global": ([(KEY, b"GLOBAL")], "global"),
    "the agent header": ([(KEY, b"a"), (AGENT, b"Ops")], "agent:ops:a"),
    "the agent header in mixed case": ([(KEY, b"a"), (b"X-OpenClaw-Agent-Id", b"ops")], "agent:ops:a"),
    "the other agent header": ([(KEY, b"a"), (AGENT_ALIAS, b"ops")], "agent:ops:a"),
    "both agent headers: agent-id counts": ([(KEY, b"a"), (AGENT_ALIAS, b"no"), (AGENT, b"ops")], "agent:ops:a"),
    "an empty agent-id: the other counts": ([(KEY, b"a"), (AGENT_ALIAS, b"ops"), (AGENT, b" ")], "agent:ops:a"),
    "empty agent headers: the default agent": ([(KEY, b"a"), (AGENT, b""), (AGENT_ALIAS, b"\t")], "agent:main:a"),
    "the agent twice": ([(KEY, b"a"), (AGENT, b"ops"), (AGENT, b"ops ")], "agent:ops:a"),
    "key and agent agree": ([(KEY, b"agent:OPS:a"), (AGENT, b"ops")], "agent:ops:a"),
    "an agent alone names no conversation": ([(AGENT, b"o.p,s")], None),
}


@pytest.mark.parametrize("kind", [list, _tuple, _generator])
@pytest.mark.parametrize(("headers", "expected"), SEEN.values(), ids=SEEN)
async def test_the_application_sees_the_canonical_key(
    headers: list[tuple[bytes, bytes]], expected: str | None, kind: Callable[[Headers], Headers]
) -> None:
    """However the headers arrive, and in whatever iterable, the application sees one spelling, or none."""
    status, app, _ = await request(kind(headers))
    assert (204, expected) == (status, app.session_key)


ANSWERED: dict[str, tuple[list[tuple[bytes, bytes]], bytes]] = {
    "different values": ([(KEY, b"a"), (KEY, b"b")], b"invalid_session_key"),
    "different values in different cases of the name": ([(KEY, b"a"), (KEY.upper(), b"A")], b"invalid_session_key"),
    "a comma, as a proxy joins lines": ([(KEY, b"a, a")], b"invalid_session_key"),
    "one byte too long": ([(KEY, b"x" * 257)], b"invalid_session_key"),
    "bytes above ASCII": ([(KEY, "caf\xe9".encode())], b"invalid_session_key"),
    "the first byte above the visible": ([(KEY, b"a\x7f")], b"invalid_session_key"),
    "a control byte": ([(KEY, b"a\x00b")], b"invalid_session_key"),
    "an empty segment": ([(KEY, b"a::b")], b"invalid_session_key"),
    "a malformed scope": ([(KEY, b"agent:x")], b"invalid_session_key"),
    "a reserved namespace": ([(KEY, b"Cron:nightly")], b"reserved_session_key"),
    "a scoped reserved namespace": ([(KEY, b"agent:ops:subagent:x")], b"reserved_session_key"),
    "an illegal agent": ([(KEY, b"a"), (AGENT, b"o.ps")], b"invalid_agent_id"),
    "an illegal agent beside global": ([(KEY, b"global"), (AGENT, b"o.ps")], b"invalid_agent_id"),
    "two agents": ([(KEY, b"a"), (AGENT, b"ops"), (AGENT, b"dev")], b"invalid_agent_id"),
    "another agent than the key's": ([(KEY, b"agent:main:a"), (AGENT, b"ops")], b"agent_mismatch"),
    "another agent in the other header": ([(KEY, b"agent:main:a"), (AGENT_ALIAS, b"ops")], b"agent_mismatch"),
}


@pytest.mark.parametrize("kind", [list, _tuple, _generator])
@pytest.mark.parametrize(("headers", "code"), ANSWERED.values(), ids=ANSWERED)
async def test_an_invalid_key_is_answered_400_and_never_no_session(
    headers: list[tuple[bytes, bytes]], code: bytes, kind: Callable[[Headers], Headers]
) -> None:
    """The application never runs without a session because its key was wrong."""
    status, app, body = await request(kind(headers))
    assert (400, False) == (status, app.ran)
    assert code in body


async def test_a_refusal_over_http_never_repeats_the_key() -> None:
    """Neither does what the client reads."""
    _, _, body = await request([(KEY, b"hunter2-secret::x")])
    assert b"hunter2" not in body


ALIASES = {
    "the header itself comes first": ([(b"x-two", b"2"), (b"x-one", b"1"), (KEY, b"0")], "agent:main:0"),
    "then the first alias": ([(b"x-two", b"2"), (b"x-one", b"1")], "agent:main:1"),
    "then the second": ([(b"X-Two", b"2")], "agent:main:2"),
    "an empty header is absent": ([(KEY, b""), (b"x-one", b" "), (b"x-two", b"2")], "agent:main:2"),
    "an alias that counts for nothing": ([(b"x-three", b"3")], None),
}


@pytest.mark.parametrize("aliases", ["x-one,x-two", ["x-one", "x-two"], ("X-One", "X-Two")], ids=repr)
@pytest.mark.parametrize(("headers", "expected"), ALIASES.values(), ids=ALIASES)
async def test_aliases_are_looked_at_in_order(
    headers: Headers, expected: str | None, aliases: str | list[str] | tuple[str, ...]
) -> None:
    """Aliases are opt-in, ordered, and compared without case however they were set."""
    _, app, _ = await request(headers, aliases=aliases)
    assert expected == app.session_key


async def test_an_alias_does_not_count_unless_it_is_set() -> None:
    """Out of the box there is one header."""
    _, app, _ = await request([(b"x-session-key", b"a")])
    assert app.session_key is None


async def test_a_contradiction_in_an_alias_is_refused() -> None:
    """An alias is read by the same rules as the header."""
    status, _, _ = await request([(b"x-one", b"1"), (b"x-one", b"2")], aliases="x-one")
    assert status == 400


async def test_another_header_can_name_the_conversation() -> None:
    """`header` replaces the built-in name, in any case."""
    _, app, _ = await request([(b"x-chat-id", b"c"), (KEY, b"a")], header="X-Chat-Id")
    assert app.session_key == "agent:main:c"


@pytest.mark.parametrize(("length", "status"), [(8, 204), (9, 400)])
async def test_the_limit_of_length_can_be_set(length: int, status: int) -> None:
    """`max_key_length` is the longest key that passes."""
    assert (await request([(KEY, b"x" * length)], max_key_length=8))[0] == status


async def test_the_default_agent_can_be_set() -> None:
    """`default_agent` owns the keys of clients that name none."""
    _, app, _ = await request([(KEY, b"a")], default_agent="ops")
    assert app.session_key == "agent:ops:a"


@pytest.mark.parametrize("name", ["a", "A", " a", "agent:main:a", "AGENT:Main:A"])
async def test_every_spelling_meets_the_same_session(name: str) -> None:
    """One conversation, one spelling, one id."""
    sessions: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        sessions.append(scope["session_id"])

    async def send(message: Message) -> None:
        raise AssertionError(message)

    guard = SessionGuard(app, store="memory:")
    for value in (b"a", name.encode()):
        await guard({"type": "http", "method": "GET", "path": "/", "headers": [(KEY, value)]}, _receive, send)
    assert len(set(sessions)) == 1


async def test_key_secret_keeps_keys_out_of_the_store() -> None:
    """The rows of a guard with `key_secret` are hashes; the application still sees the key."""
    store = MemoryStore()
    _, app, _ = await request([(KEY, b"a")], store=store, key_secret="sixteen letters.")
    assert app.session_key == "agent:main:a"
    assert [row_key("default", None, "agent:main:a", "sixteen letters.")] == [key async for key, _ in store.scan()]


ASKED = json.loads((SAMPLES / "keys-2026.9.6.json").read_text())
"""Spellings that a real gateway was asked for, its answers, and the keys that it stored; `@` stands for a suffix."""
ACCEPTED = [each for each in ASKED if each["stored"] is not None]


def _computed(sent: str) -> str | Refusal:
    """The canonical key, or the refusal, of a header as a server hands it on."""
    try:
        return canonical(sent.encode().decode("latin-1"))
    except Refusal as refusal:
        return refusal


@pytest.mark.parametrize("asked", ASKED, ids=[ascii(each["sent"])[:40] for each in ASKED])
def test_a_key_that_both_accept_is_stored_by_the_gateway_as_it_is_here(asked: dict[str, Any]) -> None:
    """By 2026.9.6; neither accepts one that the gateway refuses."""
    computed = _computed(asked["sent"])

    assert isinstance(computed, Refusal) or computed == asked["stored"]


REFUSED_HERE = {
    "with space @": "holds a space or a tab inside",
    "tab\tin-@": "holds a space or a tab inside",
    "agent:main: sp@": "holds a space or a tab inside",
    "comma,@": "holds a comma",
    "\u00fcn\u00efcode-@": "holds a character outside ASCII",
    "\u65e5\u672c-@": "holds a character outside ASCII",
    "emoji-\U0001f600-@": "holds a character outside ASCII",
    "x" * 300 + "@": "is longer than 256 bytes",
    "x" * 1000 + "@": "is longer than 256 bytes",
    "trail-@:": "ends with a colon",
    "double::@": "holds '::'",
    "hook:u@": "cannot use reserved internal session namespaces",
    "internal-session-effects:r@": "cannot use reserved internal session namespaces",
    "foo:agent:main:bar@": "holds 'agent:' in its middle",
    "agent:main:agent:main:x@": "holds 'agent:' in its middle",
}


@pytest.mark.parametrize(("sent", "reason"), REFUSED_HERE.items(), ids=[ascii(sent)[:40] for sent in REFUSED_HERE])
def test_a_key_that_the_gateway_alone_accepts_is_refused_with_its_reason(sent: str, reason: str) -> None:
    """Each has its own."""
    refusal = _computed(sent)

    assert isinstance(refusal, Refusal)
    assert reason in str(refusal)
    assert "@" not in str(refusal)


def test_the_keys_that_the_gateway_alone_accepts_are_known() -> None:
    """All that it was asked for."""
    assert {each["sent"] for each in ACCEPTED if isinstance(_computed(each["sent"]), Refusal)} == set(REFUSED_HERE)


@pytest.mark.parametrize(("raw", "reason"), [("a\x00", "a control character"), (":a", "begins with a colon")])
def test_other_keys_are_refused_with_their_reason(raw: str, reason: str) -> None:
    """Which the gateway, or HTTP, refuses as well."""
    with pytest.raises(InvalidSessionKey, match=reason):
        canonical(raw)
