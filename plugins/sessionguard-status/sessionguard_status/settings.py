"""Where the page is, and who may look at it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sessionguard import ConfigurationError

PATH = "SESSIONGUARD_STATUS_PATH"
PRINCIPALS = "SESSIONGUARD_STATUS_PRINCIPALS"
VARIABLES = {
    PATH: "the path of the status page, such as /_sessions; none, which is the default, for no page",
    PRINCIPALS: "who may look at it, by the answers of a principal plugin, separated by commas",
}


@dataclass(frozen=True)
class StatusSettings:
    """A page at `path` for `principals`."""

    path: str
    principals: frozenset[str]

    @classmethod
    def load(cls, environ: Mapping[str, str]) -> StatusSettings | None:
        """Read the environment; None where no page is asked for. Raises ConfigurationError."""
        path = environ.get(PATH, "").strip()
        principals = frozenset(name.strip() for name in environ.get(PRINCIPALS, "").split(",") if name.strip())
        if not path:
            if principals:
                raise ConfigurationError(f"{PRINCIPALS} is set, but no page is; set {PATH} to the path of one")
            return None
        if not path.startswith("/") or path == "/":
            raise ConfigurationError(f"{PATH} is {path!r}; it must begin with / and name a path, such as /_sessions")
        if not principals:
            raise ConfigurationError(f"{PATH} is set, but nobody may look; name them in {PRINCIPALS}, or unset it")
        return cls(path, principals)
