"""Forks that have already happened, as a gateway's own files show them: two sessions at work under one key."""

from __future__ import annotations

import contextlib
import datetime
import itertools
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from sessionguard.cli.doctor.findings import green, red, yellow
from sessionguard.cli.gateway.json_file import JsonFile
from sessionguard.errors import ConfigurationError, Refusal
from sessionguard.keys import canonical
from sessionguard.records import Diagnosis

SUBJECT = "transcripts"
SHOWN = 10
TOGETHER = 60_000
"""A transcript that no key leads to and that began this close to another, in milliseconds, is a likely twin."""


class Session(NamedTuple):
    """A session with its times, in milliseconds since the epoch; `key` is None where none is known."""

    key: str | None
    session_id: str
    began: int
    ended: int


def check(directory: Path) -> Iterator[Diagnosis]:
    """Look at the transcripts and the session file of a directory, and at databases in it."""
    if not directory.is_dir():
        yield red(SUBJECT, f"{directory} is no directory", "name the one with the gateway's sessions.json")
        return
    try:
        keys = _keys(directory / "sessions.json")
        sessions = list({each.session_id: each for each in _sessions(directory, keys)}.values())
    except (ConfigurationError, OSError, sqlite3.Error) as error:
        yield red(SUBJECT, str(error), "name the directory with the gateway's sessions.json")
        return
    forks = [*_two_spellings(keys), *_overlapping(sessions)]
    twins = list(_twins(sessions))
    yield from (red(SUBJECT, fork, "put SessionGuard in front of the gateway") for fork in forks[:SHOWN])
    cure = "compare them: did one conversation lose its memory?"
    yield from (yellow(SUBJECT, twin, cure) for twin in twins[:SHOWN])
    if more := max(len(forks) - SHOWN, 0) + max(len(twins) - SHOWN, 0):
        yield yellow(SUBJECT, f"{more} more of these", "")
    if not forks and not twins:
        yield green(SUBJECT, f"{len(sessions)} sessions, no two at work under one key")


def _keys(path: Path) -> Mapping[str, set[str]]:
    """Return the ids of every canonical key; several where the gateway has spelt it in several ways."""
    found: dict[str, set[str]] = {}
    for raw_key, entry in JsonFile(path).entries() if path.exists() else ():
        if isinstance(entry, dict) and isinstance(entry.get("sessionId"), str):
            found.setdefault(_canonical(raw_key), set()).add(entry["sessionId"])
    return found


def _canonical(raw_key: str) -> str:
    # The gateway's own runs have keys that a guard refuses; they are spelt in one way.
    with contextlib.suppress(Refusal):
        return canonical(raw_key)
    return raw_key


def _sessions(directory: Path, keys: Mapping[str, set[str]]) -> Iterator[Session]:
    known = {session_id: key for key, ids in keys.items() for session_id in ids}
    for path in sorted(directory.glob("*.jsonl")):
        if (session := _transcript(path, known)) is not None:
            yield session
    for path in sorted(directory.glob("*.sqlite")):
        yield from _database(path)


def _transcript(path: Path, known: Mapping[str, str]) -> Session | None:
    """Return the session of a transcript, whose first line says who it is."""
    with path.open("rb") as file:
        head = _parsed(file.readline(65_536))
    session_id, began = head.get("id"), _time(head.get("timestamp"))
    if head.get("type") != "session" or not isinstance(session_id, str) or began is None:
        return None
    raw_key = head.get("sessionKey")
    key = _canonical(raw_key) if isinstance(raw_key, str) else known.get(session_id)
    return Session(key, session_id, began, max(began, path.stat().st_mtime_ns // 1_000_000))


def _parsed(line: bytes) -> Mapping[str, Any]:
    with contextlib.suppress(ValueError):
        parsed = json.loads(line)
        return parsed if isinstance(parsed, dict) else {}
    return {}


def _time(text: object) -> int | None:
    with contextlib.suppress(ValueError):
        moment = datetime.datetime.fromisoformat(str(text).replace("Z", "+00:00"))
        return int(moment.timestamp() * 1000)
    return None


def _database(path: Path) -> Iterator[Session]:
    with contextlib.closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as connection:
        for key, session_id, began, ended in connection.execute(
            "SELECT session_key, session_id, created_at, updated_at FROM sessions"
        ):
            yield Session(_canonical(key), session_id, began, ended)


def _two_spellings(keys: Mapping[str, set[str]]) -> Iterator[str]:
    for key, ids in keys.items():
        if len(ids) > 1:
            yield f"{key} is there in several spellings, with the ids {', '.join(sorted(ids))}"


def _overlapping(sessions: Iterable[Session]) -> Iterator[str]:
    """Of one key, each session ends before the next begins; a reset does no less."""
    latest: dict[str, Session] = {}
    for session in sorted(sessions, key=lambda each: each.began):
        if session.key is None:
            continue
        before = latest.get(session.key)
        if before is not None and session.began < before.ended:
            yield f"{session.key} had two sessions at once: {before.session_id} and {session.session_id}"
        if before is None or session.ended > before.ended:
            latest[session.key] = session


def _twins(sessions: Iterable[Session]) -> Iterator[str]:
    """A session that lost the race for its key is in nobody's list; what won it began at the same moment."""
    ordered = sorted(sessions, key=lambda each: each.began)
    for one, other in itertools.pairwise(ordered):
        if (one.key is None) is not (other.key is None) and other.began - one.began <= TOGETHER:
            lost, won = (one, other) if one.key is None else (other, one)
            yield f"{lost.session_id} belongs to no key, and began with {won.session_id} of {won.key}"
