"""Rows as bytes and back, those of conversations and of leases: a versioned msgpack list, read with suspicion."""

from __future__ import annotations

import dataclasses
import re

import msgpack

from sessionguard.errors import CorruptRecord
from sessionguard.leases import Lease, LeaseRow, Ticket
from sessionguard.records import SessionRecord

VERSION = 1
MAX_BYTES = 16 * 1024

_LATEST = 2**53
_SESSION_ID = re.compile(r"[!-~]{1,256}")


def is_session_id(value: object) -> bool:
    """Whether `value` can be a session id: 1 to 256 visible ASCII characters, so that it fits in a header."""
    return isinstance(value, str) and _SESSION_ID.fullmatch(value) is not None


def encode(record: SessionRecord) -> bytes:
    """Return the row's bytes."""
    packed: bytes = msgpack.packb([VERSION, record.session_id, record.session_started_at, record.updated_at])
    return packed


def decode(data: bytes) -> SessionRecord:
    """Return the row in `data`; raises CorruptRecord for anything `encode` does not write."""
    if len(data) > MAX_BYTES:
        raise CorruptRecord(_message("is too long"))
    try:
        fields = msgpack.unpackb(data, raw=False, strict_map_key=True)
    except ValueError as error:
        raise CorruptRecord(_message("is not a msgpack value")) from error
    if not isinstance(fields, list) or len(fields) != 4:
        raise CorruptRecord(_message("is not a list of four fields"))
    version, session_id, started_at, updated_at = fields
    if version != VERSION or type(version) is not int:
        raise CorruptRecord(_message("has an unknown version; was it written by a newer release?"))
    if not is_session_id(session_id) or not _is_time(started_at) or not _is_time(updated_at):
        raise CorruptRecord(_message("has a field of the wrong type or range"))
    return SessionRecord(session_id, started_at, updated_at)


def encode_lease(row: LeaseRow) -> bytes:
    """Return the bytes of what is known of one name."""
    lease = row.lease and dataclasses.astuple(row.lease)
    queue = [[each.owner, each.since, each.lapses_at] for each in row.queue]
    packed: bytes = msgpack.packb([VERSION, lease, row.settled_until, queue])
    return packed


def decode_lease(data: bytes) -> LeaseRow:
    """Return what is known of one name; raises CorruptRecord for anything `encode_lease` does not write."""
    try:
        match msgpack.unpackb(data, raw=False, strict_map_key=True):
            case [int(version), lease, int(settled_until), list(queue)] if version == VERSION:
                standing = None if lease is None else _lease(lease)
                return LeaseRow(standing, settled_until, tuple(map(_ticket, queue)))
    except ValueError as error:
        raise CorruptRecord("The stored row of a lease is not what this package writes.") from error
    raise CorruptRecord("The stored row of a lease is not what this package writes.")


def _lease(fields: object) -> Lease:
    match fields:
        case [str(owner), int(number), int(granted_at), int(expires_at), *holder] if len(holder) <= 1:
            # Up to 0.1 there was no holder.
            return Lease(owner, number, granted_at, expires_at, *map(str, holder))
    raise ValueError(fields)


def _ticket(fields: object) -> Ticket:
    match fields:
        case [str(owner), int(since), int(lapses_at)]:
            return Ticket(owner, since, lapses_at)
    raise ValueError(fields)


def _is_time(value: object) -> bool:
    return type(value) is int and 0 <= value <= _LATEST


def _message(what: str) -> str:
    return f"The stored row of this conversation {what}; it was left untouched. Inspect the store before removing it."
