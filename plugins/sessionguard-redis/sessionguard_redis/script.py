"""The verbs that write, each one script that the server runs as a whole."""

from __future__ import annotations

import hashlib
from importlib import resources

Command = tuple[str | bytes | int, ...]


class Script:
    """The script `name.lua` beside this file; it works on one key."""

    def __init__(self, name: str) -> None:
        self.source = resources.files(__package__).joinpath(f"{name}.lua").read_bytes()
        self.digest = hashlib.sha1(self.source, usedforsecurity=False).hexdigest()

    def call(self, key: bytes, *arguments: str | bytes | int) -> Command:
        """Return the command that runs the script if the server has it."""
        return ("EVALSHA", self.digest, 1, key, *arguments)


ADOPT, FORGET, RESERVE, TOUCH = ROW_SCRIPTS = tuple(map(Script, ("adopt", "forget", "reserve", "touch")))
ACQUIRE, RELEASE, RENEW = LEASE_SCRIPTS = tuple(map(Script, ("acquire", "release", "renew")))

_SOURCES = {script.digest: script.source for script in (*ROW_SCRIPTS, *LEASE_SCRIPTS)}


def in_full(call: Command) -> Command:
    """Return the command that runs the same script and leaves it with the server."""
    return ("EVAL", _SOURCES[str(call[1])], *call[2:])
