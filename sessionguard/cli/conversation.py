"""One conversation, as people and scripts see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sessionguard.cli.moments import moment
from sessionguard.keys import fingerprint, split_row_key
from sessionguard.records import SessionRecord

HEADING = f"{'LAST USED':<19}  {'STARTED':<19}  {'HASH':<8}  {'SESSION ID':<36}  KEY"


@dataclass(frozen=True)
class Conversation:
    """A row, and what its row key says: whose conversation it is, and its session key or the hash in its place."""

    row_key: str
    record: SessionRecord

    @property
    def principal(self) -> str | None:
        return split_row_key(self.row_key)[1]

    @property
    def session_key(self) -> str:
        return split_row_key(self.row_key)[2]

    @property
    def hash(self) -> str:
        """What logs show instead of the key."""
        return fingerprint(self.session_key)

    def facts(self) -> Mapping[str, Any]:
        """Return everything, for JSON; times are milliseconds since the epoch."""
        return {
            "key": self.session_key,
            "principal": self.principal,
            "hash": self.hash,
            "session_id": self.record.session_id,
            "session_started_at": self.record.session_started_at,
            "updated_at": self.record.updated_at,
        }

    def line(self) -> str:
        """Return it as a line below `HEADING`; the key comes last, because it may be long."""
        record = self.record
        owner = "" if self.principal is None else f"  of {printable(self.principal)}"
        times = f"{moment(record.updated_at):<19}  {moment(record.session_started_at):<19}"
        return f"{times}  {self.hash}  {record.session_id:<36}  {printable(self.session_key)}{owner}"


def printable(text: str) -> str:
    """Return text that does nothing to a terminal: a principal can be whatever a client has sent."""
    return text if text.isprintable() else text.encode("unicode_escape").decode()
