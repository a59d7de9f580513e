"""The sessions in a directory of files: transcripts, the trajectories beside them, and the entries of sessions.json.

A transcript does not name its key. The first line of `<id>.trajectory.jsonl` does, and so does the entry that points to
the session, but that one only for the session that was written last under its key.
"""

from __future__ import annotations

import contextlib
import datetime
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sessionguard.cli.gateway.entry import record_of
from sessionguard.cli.gateway.history import OWN_RUN, History, Session, history_key
from sessionguard.cli.gateway.home import SESSIONS_JSON
from sessionguard.cli.gateway.json_file import JsonFile

TRAJECTORY = ".trajectory.jsonl"
COPIES = ".checkpoint."
LINE = 65_536


def read_directory(directory: Path, agent: str | None) -> History:
    """Return the sessions of the directory; raises Unreadable for a sessions.json that cannot be parsed."""
    index = directory / SESSIONS_JSON
    entries = list(_entries(index, agent)) if index.exists() else []
    found: dict[str, Session] = {}
    gaps: list[str] = []
    for path in sorted(directory.glob("*.jsonl")):
        try:
            session = None if COPIES in path.name else _session(path, agent)
        except OSError as error:
            gaps.append(f"{path} cannot be read ({error.strerror})")
            continue
        if session is not None:
            known = found.get(session.session_id)
            found[session.session_id] = session if known is None else _joined(known, session)
    if not found:
        gaps.append(f"{directory} holds no transcripts, and forks are seen in those")
    sessions = [*(_joined(each, found.pop(each.session_id, each)) for each in entries), *found.values()]
    return History([each for each in sessions if each.key != OWN_RUN], gaps)


def _entries(index: Path, agent: str | None) -> Iterator[Session]:
    for raw_key, entry in JsonFile(index).entries():
        record = record_of(entry, 0)
        if record is None:
            continue
        started, ended = record.session_started_at, max(record.session_started_at, record.updated_at)
        family = entry.get("usageFamilySessionIds")
        previous = [entry.get("previousSessionId"), *(family if isinstance(family, list) else ())]
        followed = tuple(each for each in previous if isinstance(each, str) and each != record.session_id)
        yield Session(history_key(raw_key, agent), record.session_id, started, ended, followed, None, True)


def _session(path: Path, agent: str | None) -> Session | None:
    """Return the session that a file is about, by its first and last line; None for a file of another kind."""
    with path.open("rb") as file:
        head = _parsed(file.readline(LINE))
        file.seek(max(0, path.stat().st_size - LINE))
        last = next((at for at in map(_stamp, reversed(file.read().splitlines())) if at is not None), None)
    is_trajectory = path.name.endswith(TRAJECTORY)
    session_id, began = head.get("sessionId" if is_trajectory else "id"), _time(head.get("ts", head.get("timestamp")))
    if not isinstance(session_id, str) or began is None or not (is_trajectory or head.get("type") == "session"):
        return None
    raw_key = head.get("sessionKey")
    key = history_key(raw_key, agent) if isinstance(raw_key, str) else None
    return Session(key, session_id, began, max(began, path.stat().st_mtime_ns // 1_000_000 if last is None else last))


def _joined(one: Session, other: Session) -> Session:
    """Return the session that two files, or a file and an entry, are about; the key of `one` counts first."""
    began, ended = min(one.began, other.began), max(one.ended, other.ended)
    return one._replace(key=other.key if one.key is None else one.key, began=began, ended=ended)


def _stamp(line: bytes) -> int | None:
    fields = _parsed(line)
    return _time(fields.get("ts", fields.get("timestamp")))


def _parsed(line: bytes) -> Mapping[str, Any]:
    with contextlib.suppress(ValueError):
        parsed = json.loads(line)
        return parsed if isinstance(parsed, dict) else {}
    return {}


def _time(text: object) -> int | None:
    with contextlib.suppress(ValueError, OverflowError):
        moment = datetime.datetime.fromisoformat(str(text).replace("Z", "+00:00"))
        return int(moment.timestamp() * 1000)
    return None
