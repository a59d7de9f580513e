"""A diskcache `Disk` that trusts nothing: text keys, inline msgpack rows, no pickles, no files.

Every method that could meet a pickle or a file name refuses, on the way in and on the way out; guarding only `fetch`
leaves code execution through pickled keys and the deletion of any file a row names (CVE-2025-69872).
"""

from __future__ import annotations

import sqlite3
from typing import NoReturn

import diskcache
from diskcache.core import MODE_RAW

from sessionguard.codec import decode, encode
from sessionguard.errors import CorruptRecord
from sessionguard.records import SessionRecord


class StrictDisk(diskcache.Disk):  # type: ignore[misc]  # diskcache has no types
    """Keys are str, values are `SessionRecord`; anything else in the table is a CorruptRecord."""

    def put(self, key: object) -> tuple[str, bool]:
        if type(key) is not str:
            raise TypeError("row keys are text")
        return key, True

    def get(self, key: object, raw: object) -> str:
        if not raw or type(key) is not str:
            raise _foreign("a key that is not text")
        return key

    def store(self, value: object, read: bool, key: object = None) -> tuple[int, int, None, bytes]:
        if type(value) is not SessionRecord or read:
            raise TypeError("values are SessionRecord")
        return 0, MODE_RAW, None, encode(value)

    def fetch(self, mode: object, filename: object, value: object, read: bool) -> SessionRecord:
        if mode != MODE_RAW or filename is not None or read:
            raise _foreign("a value outside the table")
        if not isinstance(value, (bytes, sqlite3.Binary)):
            raise _foreign("a value that is not bytes")
        return decode(bytes(value))

    def filename(self, key: object = None, value: object = None) -> NoReturn:
        raise _foreign("a value outside the table")

    def remove(self, file_path: object) -> None:
        """A row that names a file must not make us delete it."""


def _foreign(what: str) -> CorruptRecord:
    return CorruptRecord(f"The session store holds {what}, which this package never writes; it was left untouched.")
