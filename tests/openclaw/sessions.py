"""The sessions that a gateway has written down, read without writing anything."""

from __future__ import annotations

import json
import sqlite3
import time
from collections import defaultdict
from contextlib import closing, suppress
from pathlib import Path

from openclaw.model import MARK

SETTLE_SECONDS = 3.0


def rows(state: Path) -> dict[str, str]:
    """Return the id of the current session for every stored key, of all agents."""
    found: dict[str, str] = {}
    for path in state.glob("agents/*/sessions/sessions.json"):
        found |= {key: entry.get("sessionId", "") for key, entry in json.loads(path.read_text()).items()}
    for database in _databases(state):
        with closing(_open(database)) as connection:
            found |= dict(connection.execute("SELECT session_key, current_session_id FROM session_nodes"))
    return found


def transcripts(state: Path, trial: str) -> dict[str, list[str]]:
    """Return the marks of the trial's messages, for each session whose transcript holds one of them."""
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for path in state.glob("agents/*/sessions/*.jsonl*"):
        if not {".trajectory", ".lock"}.intersection(path.suffixes):
            with suppress(FileNotFoundError):  # the gateway renames files meanwhile
                _collect(found, path.name.partition(".")[0], path.read_text(errors="replace"), trial)
    for database in _databases(state):
        # The gateway compresses only events that are much longer than the messages of the trials.
        query = "SELECT session_id, event_json FROM transcript_events WHERE event_json LIKE ? ORDER BY session_id, seq"
        with closing(_open(database)) as connection:
            for session, event in connection.execute(query, (f"%MSG-{trial}-%",)):
                _collect(found, session, event, trial)
    return {session: list(marks) for session, marks in found.items()}


def settled_transcripts(state: Path, trial: str, messages: set[str]) -> dict[str, list[str]]:
    """Return the transcripts once they hold the messages, or after 3 s: the gateway writes after it has answered."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        found = transcripts(state, trial)
        if messages.issubset(mark for marks in found.values() for mark in marks) or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def _collect(found: dict[str, dict[str, None]], session: str, text: str, trial: str) -> None:
    marks = [mark for mark in MARK.findall(text) if mark.startswith(f"MSG-{trial}-")]
    if marks:
        found[session] |= dict.fromkeys(marks)


def _databases(state: Path) -> list[Path]:
    return [path for path in state.glob("agents/*/agent/openclaw-agent.sqlite") if path.stat().st_size]


def _open(database: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=10)
