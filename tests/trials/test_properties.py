"""Whatever headers arrive and whatever bytes lie in a row: an answer, never a crash, never an id nobody may have."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pytest_sessionguard import Tally
from sessionguard import CorruptRecord, Refusal, SessionGuard, SessionRecord
from sessionguard.codec import decode, encode
from sessionguard.keys import canonical
from sessionguard.stores.disk.store import DiskStore
from sessionguard.stores.embedded.store import EmbeddedStore
from sessionguard.stores.memory import MemoryStore
from sessionguard.stores.sqlite import SqliteStore
from sessionguard.testing import AppProbe, Exchange

KEY, AGENT = b"x-openclaw-session-key", b"x-openclaw-agent-id"
OURS = (b"x-openclaw-session-id", b"x-openclaw-session-effects", b"x-openclaw-handoff-token")
REFUSALS = {"invalid_session_key", "reserved_session_key", "invalid_agent_id", "agent_mismatch"}
STORES: dict[str, type[EmbeddedStore]] = {"disk": DiskStore, "sqlite": SqliteStore}
COLUMNS = {"disk": ("Cache", "value"), "sqlite": ("Sessions", "row")}
ROW = "default//agent:main:key"
GOOD = SessionRecord("planted", 1_700_000_000_000, 1_700_000_000_001)

Headers = list[tuple[bytes, bytes]]


def spelt(name: bytes) -> st.SearchStrategy[bytes]:
    """The name in any mixture of cases, with `-` or `_`."""
    letters = [sorted({bytes([byte]), bytes([byte]).upper(), b"_" if byte == 45 else bytes([byte])}) for byte in name]
    return st.tuples(*map(st.sampled_from, letters)).map(b"".join)


def names() -> st.SearchStrategy[bytes]:
    ours = [KEY, AGENT, b"x-openclaw-agent", *OURS]
    return st.one_of(
        st.sampled_from([*ours, KEY, KEY]),
        *(spelt(name) for name in ours),
        st.sampled_from([b"accept", b"host", b"", b"x-openclaw-session-key "]),
        st.binary(max_size=30),
    )


def values() -> st.SearchStrategy[bytes]:
    words = [b"key", b"KEY", b"agent:main:key", b"agent:", b"agent", b"main", b"cron:x", b"global", b"signal:group:Q"]
    parts = st.sampled_from([*words, b":", b",", b" ", b"\t", b"\x00", b"\r\n", b"\x7f", b"\xff", b"_", b"a" * 100])
    return st.one_of(
        st.sampled_from([*words, b"", b" key\t", b"application/problem+json"]),
        st.lists(parts, max_size=6).map(b"".join),
        st.binary(max_size=40),
        st.integers(0, 400).map(lambda length: b"k" * length),
    )


def values_of(headers: Headers, *wanted: bytes) -> list[set[bytes]]:
    """For each of these headers, the different values that are not blank."""
    return [{value.strip(b" \t") for name, value in headers if name.lower() == each} - {b""} for each in wanted]


def legal_key(headers: Headers) -> str | None:
    """The canonical key these headers name, None without one; raises the Refusal the grammar has for them."""
    keys, *agents = values_of(headers, KEY, AGENT, b"x-openclaw-agent")
    if not keys:
        return None
    agents_named = next(filter(None, agents), {b""})
    if len(keys) > 1 or len(agents_named) > 1:
        raise Refusal("contradictory")
    return canonical(keys.pop().decode("latin-1"), agents_named.pop().decode("latin-1"))


def document(exchange: Exchange) -> dict[str, object]:
    """The error in the refusal's body, from either of the two documented shapes."""
    body = json.loads(exchange.sent[1]["body"])
    if exchange.headers["content-type"] == "application/problem+json":
        assert body.keys() == {"type", "title", "status", "detail", "code"}
        assert body["status"] == exchange.status
        return {"message": body["detail"], "code": body["code"]}
    assert body.keys() == {"error"}
    assert body["error"].keys() == {"message", "type", "param", "code"}
    return dict(body["error"])


class HeaderTrial:
    """One guard on one loop, and a judge of what it makes of a list of headers."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.judged = 0
        self._loop = loop
        self._probe = AppProbe()
        self._guard = SessionGuard(self._probe, store=MemoryStore())
        self._keys: dict[str, str] = {}

    def judge(self, headers: Headers) -> None:
        self.judged += 1
        self._probe.scopes.clear()
        exchange = self._loop.run_until_complete(Exchange(self._guard, headers).run())
        try:
            key = legal_key(headers)
        except Refusal:
            self._judge_refusal(exchange)
        else:
            assert exchange.status == 200
            self._judge_scope(key, headers)

    def _judge_refusal(self, exchange: Exchange) -> None:
        error = document(exchange)
        assert exchange.status == 400
        assert error["code"] in REFUSALS
        assert error["message"]
        assert self._probe.scopes == []

    def _judge_scope(self, key: str | None, headers: Headers) -> None:
        scope = self._probe.scope
        session_id = str(scope.get("session_id"))
        forwarded = [value for name, value in scope["headers"] if name.lower().replace(b"_", b"-") in OURS]
        others = [pair for pair in headers if pair[0].lower().replace(b"_", b"-") not in OURS]
        if key is None:
            assert "session_id" not in scope
            assert scope["headers"] == others
        else:
            assert session_id == self._keys.setdefault(key, session_id)
            assert scope["sessionguard"].session_key == key
            assert scope["headers"] == [*others, (b"x-openclaw-session-id", session_id.encode())]
        assert len(forwarded) == (key is not None)


def examples(tally: Tally) -> settings:
    """As many as this run is to try; in the long tier without the database, which would grow with them."""
    chosen = settings(
        max_examples=tally.choose(500, 100_000), deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    return settings(chosen, database=None) if tally.long else chosen


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """One loop for all examples of a test."""
    loop = asyncio.new_event_loop()
    with contextlib.closing(loop):
        yield loop


def test_any_list_of_headers_is_an_answer(tally: Tally, loop: asyncio.AbstractEventLoop) -> None:
    """200 with the key's one id, 200 without any for want of a key, or a documented 400; our headers never come in."""
    trial = HeaderTrial(loop)

    @examples(tally)
    @example([(KEY.upper(), b"key"), (b"X_OpenClaw-Session_ID", b"mine")])
    @example([(KEY, b"key"), (KEY, b"other"), (b"accept", b"application/problem+json")])
    @given(st.lists(st.tuples(names(), values()), max_size=8))
    def judge(headers: Headers) -> None:
        trial.judge(headers)

    judge()
    tally.add("header lists, 0 crashes", trial.judged)


class RowTrial:
    """A store with one row, in which anything is planted behind its back, and a judge of what is made of it."""

    def __init__(self, kind: str, directory: Path, loop: asyncio.AbstractEventLoop) -> None:
        self.judged = 0
        self._loop = loop
        self._probe = AppProbe()
        self._store = STORES[kind](directory)
        self._guard = SessionGuard(self._probe, store=self._store, touch_interval=3600)
        self._loop.run_until_complete(self._store.reserve(ROW, GOOD.session_id, None))
        # No crash of the machine is tried here, so the planting need not be synced.
        self._database = sqlite3.connect(directory / self._store.file_name, isolation_level=None)
        self._database.execute("PRAGMA synchronous = OFF")
        self._table, self._column = COLUMNS[kind]

    def close(self) -> None:
        self._guard._resolver._touches.forget()
        self._loop.run_until_complete(self._store.aclose())
        self._database.close()

    def judge(self, planted: bytes | str | int) -> None:
        self.judged += 1
        self._database.execute(f"UPDATE {self._table} SET {self._column} = ?", (planted,))
        try:
            record = decode(planted) if isinstance(planted, bytes) else None
        except CorruptRecord:
            record = None
        self._judge_verb(record, planted)
        self._judge_request(record, planted)

    def _judge_verb(self, record: SessionRecord | None, planted: bytes | str | int) -> None:
        try:
            found = self._loop.run_until_complete(self._store.get(ROW))
        except CorruptRecord:
            found = None
        assert found == record
        assert self._rows() == [(planted,)]

    def _judge_request(self, record: SessionRecord | None, planted: bytes | str | int) -> None:
        self._probe.scopes.clear()
        exchange = self._loop.run_until_complete(Exchange(self._guard, [(KEY, b"key")]).run())
        if record is None:
            assert (exchange.status, document(exchange)["code"]) == (500, "session_record_corrupt")
            assert self._probe.scopes == []
            assert self._rows() == [(planted,)]
        else:
            assert (exchange.status, self._probe.scope["session_id"]) == (200, record.session_id)
            # A request is a sign of life, which may move the time of the row, forward, and nothing else.
            ((row,),) = self._rows()
            assert isinstance(row, bytes)
            assert decode(row) == record.touched(decode(row).updated_at)

    def _rows(self) -> list[tuple[bytes | str | int]]:
        return self._database.execute(f"SELECT {self._column} FROM {self._table}").fetchall()


def damaged_rows() -> st.SearchStrategy[bytes]:
    """A sound row with one byte changed, cut off, or continued."""
    sound = encode(GOOD)
    places = st.integers(0, len(sound) - 1)
    return st.one_of(
        st.tuples(places, st.integers(0, 255)).map(lambda at: sound[: at[0]] + bytes([at[1]]) + sound[at[0] + 1 :]),
        places.map(lambda length: sound[:length]),
        st.binary(max_size=8).map(lambda more: sound + more),
    )


def sound_rows() -> st.SearchStrategy[bytes]:
    times = st.integers(0, 2**53)
    ids = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=256)
    return st.builds(SessionRecord, ids, times, times).map(encode)


def planted_values() -> st.SearchStrategy[bytes | str | int]:
    others = st.one_of(st.text(max_size=20), st.integers(-(2**63), 2**63 - 1))
    return st.one_of(damaged_rows(), damaged_rows(), sound_rows(), st.binary(max_size=64), others)


@pytest.mark.parametrize("kind", STORES)
def test_any_row_is_a_record_or_corrupt(
    kind: str, tmp_path: Path, tally: Tally, loop: asyncio.AbstractEventLoop, caplog: pytest.LogCaptureFixture
) -> None:
    """A row that does not decode is 500, and stays as it is; nothing is minted over it."""
    caplog.set_level("CRITICAL", "sessionguard")
    with contextlib.closing(RowTrial(kind, tmp_path / "sessions", loop)) as trial:

        @examples(tally)
        @example(b"")
        @example(encode(GOOD))
        @example(b"\x91" * 16_000)
        @example(b"\x81\x90\x01")
        @example(bytes(16 * 1024 + 1))
        @given(planted_values())
        def judge(planted: bytes | str | int) -> None:
            trial.judge(planted)

        judge()
        tally.add("planted rows, 0 minted over", trial.judged)
