"""Forks that have already happened, in the stores of a gateway."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path

from sessionguard.cli.doctor.findings import green, red, yellow
from sessionguard.cli.doctor.forks import Fork, find_forks, find_unattributed
from sessionguard.cli.gateway.errors import ADVICE, Locked, NoSessions, Unreadable
from sessionguard.cli.gateway.file import is_database
from sessionguard.cli.gateway.history import History, Session
from sessionguard.cli.gateway.home import DATABASES, SESSIONS, AgentStore, find_stores
from sessionguard.cli.gateway.transcripts import read_directory
from sessionguard.cli.gateway.windows import read_database
from sessionguard.records import Diagnosis

SUBJECT = "transcripts"
SHOWN = 10
CURE = "put SessionGuard in front of the gateway, so that no more of these begin: sessionguard proxy URL"
POSSIBLE = "compare the two transcripts: did one conversation lose its memory? Nothing names the key of the first one"


def check(path: Path) -> Iterator[Diagnosis]:
    """Look for forks in the stores at `path`: the home of a gateway, the directory of an agent, or a file."""
    try:
        stores = find_stores(path)
    except Unreadable as error:
        yield yellow(SUBJECT, f"not looked at: {error}", ADVICE)
        return
    for store in stores.found:
        yield from _check(store)
    for skipped, reason in stores.skipped:
        yield yellow(SUBJECT, f"{skipped} was not looked at: {reason}", "name it by itself, with --transcripts")


def _check(store: AgentStore) -> Iterator[Diagnosis]:
    name = f"{store.agent}: " if store.agent else ""
    try:
        history = _history(store)
    except Locked as error:
        yield yellow(SUBJECT, f"{name}not looked at: {error}", "try again later")
        return
    except Unreadable as error:
        yield yellow(SUBJECT, f"{name}not looked at: {error}", ADVICE)
        return
    forks, possible = [*find_forks(history)], [*find_unattributed(history.sessions)]
    yield from (red(SUBJECT, f"{name}{_fork(fork)}", _cure(fork)) for fork in forks[:SHOWN])
    yield from (yellow(SUBJECT, f"{name}{_possible_fork(fork)}", POSSIBLE) for fork in possible[:SHOWN])
    if more := max(len(forks) - SHOWN, 0) + max(len(possible) - SHOWN, 0):
        yield yellow(SUBJECT, f"{name}{more:,} more of these", "see --json of `sessionguard import openclaw` for ids")
    for gap in history.gaps:
        yield yellow(SUBJECT, f"{name}not all was looked at: {gap}", "forks there stay unseen")
    if not (forks or possible or history.gaps):
        yield green(SUBJECT, f"{name}{len(history.sessions):,} sessions, no two at work under one key")


def _history(store: AgentStore) -> History:
    """Return the sessions of a store of either generation, or of both where both are there."""
    if not is_database(store.path):
        return read_directory(store.path.parent, store.agent)
    directory = _directory_of_files(store)
    try:
        history = read_database(store.path, store.agent)
    except NoSessions:
        if directory is None:
            raise
        return read_directory(directory, store.agent)
    if directory is None:
        return history
    files = read_directory(directory, store.agent)
    known = {session.session_id for session in history.sessions}
    before = [each._replace(is_current=False) for each in files.sessions if each.session_id not in known]
    return history._replace(sessions=[*history.sessions, *before], gaps=history.gaps and files.gaps)


def _directory_of_files(store: AgentStore) -> Path | None:
    """Return the directory of the transcripts that an agent with a database had before, None where there are none."""
    if store.older is not None:
        return store.older.parent
    directory = store.path.parent.parent / SESSIONS
    is_of_agent = store.path.parent.name == DATABASES and any(directory.glob("*.jsonl"))
    return directory if is_of_agent else None


def _fork(fork: Fork) -> str:
    return f"{fork.later.key} had two sessions at once: {_named(fork.earlier)} and {_named(fork.later)}"


def _cure(fork: Fork) -> str:
    lost = [each.session_id for each in fork if not each.is_current]
    kept = next((f"{each.session_id} goes on; " for each in fork if each.is_current and lost), "")
    return f"{kept}look for lost messages in the transcript of {' and of '.join(lost) or 'each'}; {CURE}"


def _possible_fork(fork: Fork) -> str:
    lost, other = fork if fork.earlier.key is None else (fork.later, fork.earlier)
    return f"{_named(lost)} belongs to no known key, and began together with {_named(other)} of {other.key or 'no key'}"


def _named(session: Session) -> str:
    began = datetime.datetime.fromtimestamp(session.began / 1000, datetime.timezone.utc)
    return f"{session.session_id} (began {began:%Y-%m-%d %H:%M:%S} UTC)"
