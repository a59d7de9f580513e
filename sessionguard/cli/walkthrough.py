"""The same by hand: commands for a shell, in the order in which they are typed, and what each will show."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import NamedTuple

from sessionguard.cli.race import KEY_HEADER

PORT = 8000


class Step(NamedTuple):
    """A command, why it is typed, and what to expect of it."""

    aim: str
    command: str
    expect: str


def steps(key: str, executable: str = sys.executable) -> tuple[Step, ...]:
    """Return the steps for the Python at `executable`; no conversation may be known by `key` yet."""
    python = shlex.quote(_short(executable))
    request = f"-H '{KEY_HEADER}: {key}' http://127.0.0.1:{PORT}/"
    return (
        Step(
            "Start the agent behind SessionGuard, with three worker processes:",
            f"SESSIONGUARD_APP=sessionguard.cli.agent:app {python} -m uvicorn \\\n"
            f"  --factory sessionguard.serving:create_app --workers 3 --port {PORT}",
            "It listens until you press Ctrl-C.",
        ),
        Step(
            "In another terminal, send six messages of one new conversation at once:",
            f"seq 6 | xargs -P 6 -I N curl -s -d 'message N' \\\n  {request}",
            "Six replies, from any of the processes, all with one session_id.",
        ),
        Step(
            "Then one more; restart the server before it, if you like:",
            f"curl -i -d 'what have we said?' \\\n  {request}",
            'x-sessionguard-status: existing, the same session_id, "remembers": 6.',
        ),
    )


def _short(executable: str) -> str:
    """Return the path as seen from here when it lies in a directory below."""
    here = Path.cwd()
    return os.path.relpath(executable, here) if here in Path(executable).parents[1:] else executable
