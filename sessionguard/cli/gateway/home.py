"""Where a gateway keeps the sessions of its agents.

Up to 2026.7 that is `agents/<agent>/sessions/sessions.json` below its home, since 2026.8
`agents/<agent>/agent/openclaw-agent.sqlite`. A home that was updated may hold both for one agent.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sessionguard.cli.gateway.errors import ADVICE, Unreadable
from sessionguard.errors import InvalidAgentId
from sessionguard.keys import agent_id

AGENTS, SESSIONS, DATABASES = "agents", "sessions", "agent"
SESSIONS_JSON, DATABASE = "sessions.json", "openclaw-agent.sqlite"
FIRST_AGENT = "main"
ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


@dataclass(frozen=True)
class AgentStore:
    """The session store of one agent; `agent` is None where the path does not name it.

    `older` is a sessions.json beside a database, kept from before the gateway's migration or not migrated yet.
    """

    agent: str | None
    path: Path
    older: Path | None = None


@dataclass
class Stores:
    """The stores found below a path; `skipped` are directories of agents that were not read, with the reason."""

    found: list[AgentStore] = field(default_factory=list)
    skipped: list[tuple[Path, str]] = field(default_factory=list)


def default_home(environ: Mapping[str, str]) -> Path:
    """Return the home of a gateway that runs in this environment, by the gateway's own rules."""
    home = Path.home()
    if named := environ.get("OPENCLAW_HOME", "").strip():
        home = _expanded(named, home)
    if named := environ.get("OPENCLAW_STATE_DIR", "").strip():
        return _expanded(named, home)
    current, former = home / ".openclaw", home / ".clawdbot"
    return former if not current.exists() and former.exists() else current


def find_stores(path: Path) -> Stores:
    """Return the stores at `path`: a file, the directory of an agent, or the home of a gateway.

    Raises Unreadable for a directory without any.
    """
    path = _absolute(path)
    if not path.is_dir():
        return Stores([AgentStore(_agent_by_place(path.parent), path)])
    stores = Stores()
    if (directory := _agent_directory(path)) is not None:
        stores.found += _stores_of_agent(directory)
    elif agents := next((each for each in (path / AGENTS, path) if each.name == AGENTS and each.is_dir()), None):
        _add_agents(agents, stores)
    else:
        stores.found += _newest(None, path / DATABASE, path / SESSIONS_JSON)
    if not stores.found:
        raise Unreadable(_nothing_at(path, stores))
    return stores


def _nothing_at(path: Path, stores: Stores) -> str:
    skipped = "".join(f"; {each} was skipped: {reason}" for each, reason in stores.skipped)
    return f"{path} holds no session store of an OpenClaw gateway{skipped}; {ADVICE}"


def _absolute(path: Path) -> Path:
    return Path(os.path.normpath(path.absolute()))


def _expanded(text: str, home: Path) -> Path:
    return home / text[2:] if text == "~" or text.startswith("~/") else _absolute(Path(text))


def _agent_directory(path: Path) -> Path | None:
    """Return the directory of the agent that `path` belongs to, None where its place names no agent."""
    own_parts = (path.parent,) if path.name in (SESSIONS, DATABASES) else ()
    return next((each for each in (*own_parts, path) if each.parent.name == AGENTS), None)


def _agent_by_place(directory: Path) -> str | None:
    agent_directory = _agent_directory(directory)
    with contextlib.suppress(InvalidAgentId):
        return None if agent_directory is None else agent_id(agent_directory.name)
    return None


def _add_agents(agents: Path, stores: Stores) -> None:
    try:
        directories = sorted(agents.iterdir(), key=lambda each: (each.name.lower() != FIRST_AGENT, each.name))
    except OSError as error:
        raise Unreadable(f"{agents} cannot be listed ({error.strerror}); run this as the gateway's user") from error
    read: dict[Path, Path] = {}
    for directory in directories:
        found = _stores_of_agent(directory)
        if found and found[0].agent is None:
            stores.skipped.append((directory, "its name is no agent id"))
        elif found and (twin := read.setdefault(directory.resolve(), directory)) != directory:
            stores.skipped.append((directory, f"it is the same directory as {twin.name}"))
        else:
            stores.found += found


def _stores_of_agent(directory: Path) -> list[AgentStore]:
    database, sessions = directory / DATABASES / DATABASE, directory / SESSIONS / SESSIONS_JSON
    return [*_newest(_agent_by_place(directory), database, sessions)]


def _newest(agent: str | None, database: Path, sessions: Path) -> Iterator[AgentStore]:
    if _is_present(database):
        yield AgentStore(agent, database, sessions if _is_present(sessions) else None)
    elif _is_present(sessions):
        yield AgentStore(agent, sessions)


def _is_present(path: Path) -> bool:
    """Whether there is a file, or something that keeps this user from looking for one."""
    try:
        path.stat()
    except OSError as error:
        return error.errno not in ABSENT
    return True
