"""Ids that nobody has a say in are random UUIDs, as everything that reads UUIDs expects them."""

from __future__ import annotations

import uuid

from sessionguard.minting import random_session_id

IDS = [random_session_id() for _ in range(1000)]


def test_an_id_is_the_text_of_a_random_uuid() -> None:
    """Of version 4 and of the variant that RFC 9562 describes, in the spelling it recommends."""
    parsed = [uuid.UUID(each) for each in IDS]

    assert {each.version for each in parsed} == {4}
    assert {each.variant for each in parsed} == {uuid.RFC_4122}
    assert [str(each) for each in parsed] == IDS


def test_no_id_comes_twice_and_no_digit_is_spared() -> None:
    """All 122 bits are random ones: where a digit can differ, it takes every value it may have."""
    digits = [set(column) for column in zip(*(each.replace("-", "") for each in IDS), strict=True)]
    expected = [set("0123456789abcdef")] * 32
    expected[12], expected[16] = set("4"), set("89ab")

    assert len(set(IDS)) == 1000
    assert digits == expected
