"""Rows as Postgres has them, and back, read with suspicion. Keys are bytes, because its text has no NUL."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from sessionguard import CorruptRecord, SessionRecord
from sessionguard.codec import is_session_id

LATEST = 2**53


def encoded(key: str) -> bytes:
    """Return the key as it is stored; bytes sort like the text."""
    return key.encode("utf-8", "surrogatepass")


def decoded(key: bytes) -> str:
    """Return the key in `key`; raises CorruptRecord if there is none."""
    try:
        return key.decode("utf-8", "surrogatepass")
    except ValueError as error:
        raise CorruptRecord("The session store holds a key that is not text; it was left untouched.") from error


def fields_of(record: SessionRecord) -> tuple[str, int, int]:
    """Return the columns of the row; raises CorruptRecord for one that `record_of` would not read."""
    columns = dataclasses.astuple(record)
    record_of(dict(zip(("session_id", "session_started_at", "updated_at"), columns, strict=True)))
    return columns


def record_of(row: Mapping[str, Any]) -> SessionRecord:
    """Return the row; raises CorruptRecord for anything this package does not write."""
    session_id, started_at, updated_at = row["session_id"], row["session_started_at"], row["updated_at"]
    if not (is_session_id(session_id) and _is_time(started_at) and _is_time(updated_at)):
        raise CorruptRecord(
            "The stored row of this conversation has a field of the wrong type or range; it was left untouched."
            " Inspect the store before removing it."
        )
    return SessionRecord(session_id, started_at, updated_at)


def _is_time(value: object) -> bool:
    return type(value) is int and 0 <= value <= LATEST
