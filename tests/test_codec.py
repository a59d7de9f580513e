"""Rows as bytes: everything `encode` writes is read back, and nothing else is read at all."""

from __future__ import annotations

import contextlib
from typing import Any

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sessionguard import CorruptRecord, SessionRecord
from sessionguard.codec import MAX_BYTES, VERSION, decode, encode, is_session_id

VISIBLE = st.characters(min_codepoint=0x21, max_codepoint=0x7E)
TIMES = st.integers(0, 2**53)
RECORDS = st.builds(SessionRecord, st.text(VISIBLE, min_size=1, max_size=256), TIMES, TIMES)

ROW = SessionRecord("0f8b5a52-3b1c-4c55-9d3a-8d1d5b9f6f10", 1_779_465_436_000, 1_779_465_496_123)
GOLDEN = bytes.fromhex(
    "9401d924" + b"0f8b5a52-3b1c-4c55-9d3a-8d1d5b9f6f10".hex() + "cf0000019e5067bb60" + "cf0000019e5068a63b"
)


@given(RECORDS)
@example(SessionRecord("x" * 256, 0, 2**53))
def test_every_row_is_read_back(record: SessionRecord) -> None:
    """`decode` undoes `encode`."""
    assert record == decode(encode(record))


def test_version_1_is_written_byte_by_byte_as_ever() -> None:
    """Rows outlive releases: these bytes must never change."""
    assert GOLDEN == encode(ROW)


def test_version_1_is_read_for_ever() -> None:
    """A row of the first release is still a row."""
    assert ROW == decode(GOLDEN)


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_a_row_or_corrupt(data: bytes) -> None:
    """Whatever lies in the store, there is no other error."""
    with contextlib.suppress(CorruptRecord):
        assert isinstance(decode(data), SessionRecord)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text()
    | st.binary()
    | st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=20))
    | st.builds(msgpack.Timestamp, st.integers(-(2**63), 2**63 - 1), st.integers(0, 999_999_999)),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text() | st.integers(0, 9), inner, max_size=3),
)


@pytest.mark.slow
@given(VALUES | st.lists(st.sampled_from([1, 1.0, True, "id", "", 5, -1, 2**53 + 1, None]), min_size=3, max_size=5))
def test_arbitrary_msgpack_is_a_row_or_corrupt(value: Any) -> None:
    """A well-formed value of another shape is corrupt as well; only a legal row is a row."""
    data = msgpack.packb(value)
    try:
        record = decode(data)
    except CorruptRecord:
        return
    assert data == encode(record)


@given(st.integers(0, len(GOLDEN) - 1))
def test_a_row_that_was_cut_off_is_corrupt(length: int) -> None:
    """A torn write is never half a row."""
    with pytest.raises(CorruptRecord):
        decode(GOLDEN[:length])


def _row(*fields: object) -> bytes:
    packed: bytes = msgpack.packb(list(fields))
    return packed


CORRUPT = {
    "empty": (b"", "not a msgpack value"),
    "a byte msgpack never uses": (b"\xc1", "not a msgpack value"),
    "a row and a byte more": (GOLDEN + b"\x00", "not a msgpack value"),
    "text that is not UTF-8": (b"\x94\x01\xa1\xff\x00\x00", "not a msgpack value"),
    "nested too deeply": (b"\x91" * 5_000, "not a msgpack value"),
    "a list that claims four thousand million items": (b"\xdd\xff\xff\xff\xff", "not a msgpack value"),
    "a pickle": (b"\x80\x04K\x01.", "not a msgpack value"),
    "too long": (_row(1, "x" * MAX_BYTES, 0, 0), "too long"),
    "a map": (msgpack.packb({"a": 1, "b": 2, "c": 3, "d": 4}), "not a list of four"),
    "a number": (b"\x01", "not a list of four"),
    "three fields": (_row(1, "id", 0), "not a list of four"),
    "five fields": (_row(1, "id", 0, 0, 0), "not a list of four"),
    "the next version": (_row(VERSION + 1, "id", 0, 0), "unknown version"),
    "version 0": (_row(0, "id", 0, 0), "unknown version"),
    "a version that only equals 1": (_row(True, "id", 0, 0), "unknown version"),
    "a version that is 1.0": (_row(1.0, "id", 0, 0), "unknown version"),
    "an empty id": (_row(1, "", 0, 0), "wrong type or range"),
    "an id in bytes": (_row(1, b"id", 0, 0), "wrong type or range"),
    "an id that would break a header": (_row(1, "a\r\nb", 0, 0), "wrong type or range"),
    "an id of 257 characters": (_row(1, "x" * 257, 0, 0), "wrong type or range"),
    "a negative start": (_row(1, "id", -1, 0), "wrong type or range"),
    "a negative use": (_row(1, "id", 0, -1), "wrong type or range"),
    "a start beyond every clock": (_row(1, "id", 2**53 + 1, 0), "wrong type or range"),
    "a use beyond every clock": (_row(1, "id", 0, 2**53 + 1), "wrong type or range"),
    "a time in fractions": (_row(1, "id", 1.5, 0), "wrong type or range"),
    "a time that is True": (_row(1, "id", 0, True), "wrong type or range"),
    "no time": (_row(1, "id", None, 0), "wrong type or range"),
}


@pytest.mark.parametrize(("data", "reason"), CORRUPT.values(), ids=CORRUPT)
def test_a_corrupt_row_says_what_is_wrong_with_it(data: bytes, reason: str) -> None:
    """The operator learns the reason, and that the row was left as it is."""
    with pytest.raises(CorruptRecord, match=f"{reason}.*left untouched"):
        decode(data)


IDS = {
    "x": True,
    "x" * 256: True,
    "!~": True,
    "": False,
    "x" * 257: False,
    "a b": False,
    "a\n": False,
    "\x7f": False,
    "caf\xe9": False,
    b"x": False,
    7: False,
    None: False,
}


@pytest.mark.parametrize(("value", "expected"), IDS.items(), ids=lambda value: ascii(value)[:20])
def test_a_session_id_is_visible_ascii_and_fits_in_a_header(value: object, expected: bool) -> None:
    """1 to 256 characters from `!` to `~`."""
    assert expected is is_session_id(value)
