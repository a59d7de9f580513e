"""What the URL of an embedded store says: `scheme:///path?option=value`, or `scheme:` for the default directory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from sessionguard.errors import ConfigurationError
from sessionguard.stores.embedded.checking import SYNCHRONOUS
from sessionguard.stores.embedded.place import default_directory

if TYPE_CHECKING:
    from sessionguard.settings import GuardSettings

SWITCH = {"on": True, "off": False}


class EmbeddedUrl(NamedTuple):
    """The directory, and the options; `retention` is in milliseconds."""

    directory: Path
    synchronous: str
    network_filesystem: bool
    retention: int | None


def parse(url: str, settings: GuardSettings) -> EmbeddedUrl:
    """Read the URL; raises ConfigurationError for anything it should not hold."""
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    synchronous = options.pop("synchronous", "full")
    network_filesystem = options.pop("network_filesystem", "off")
    path = Path(unquote(parts.path)) if parts.path.strip("/") else default_directory(parts.scheme, settings.namespace)
    illegal = parts.netloc or parts.fragment or options or not path.is_absolute()
    if illegal or synchronous not in SYNCHRONOUS or network_filesystem not in SWITCH:
        raise ConfigurationError(
            f"store: {url!r} is not understood; write {parts.scheme}:///absolute/path, with ?synchronous=normal to"
            f" trade the last writes before a power cut for speed, or {parts.scheme}: for the default directory"
        )
    retention = None if settings.retention is None else int(settings.retention * 1000)
    return EmbeddedUrl(path, synchronous, SWITCH[network_filesystem], retention)
