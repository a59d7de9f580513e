"""What tox.ini says of the environments, as far as tests ask."""

from __future__ import annotations

import configparser
import re
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]

_TOX = configparser.ConfigParser(interpolation=None, delimiters=("=",), inline_comment_prefixes=(" #",))
_TOX.read(ROOT / "tox.ini")


def names(text: str) -> Sequence[str]:
    """Names separated by commas or lines."""
    return tuple(re.split(r"[\s,]+", text.strip()))


ENV_LIST = names(_TOX["tox"]["env_list"])


def setting(environment: str, key: str) -> str:
    """What the section of an environment says, else the one of all; empty where neither does."""
    return _TOX.get(_section(environment), key, fallback=_TOX.get("testenv", key, fallback=""))


def siblings(environment: str) -> Sequence[str]:
    """The environments that share a section with this one, itself among them."""
    return _members(_section(environment))


def _section(environment: str) -> str:
    return next((name for name in _TOX.sections() if environment in _members(name)), "testenv")


def _members(section: str) -> Sequence[str]:
    return names(section.removeprefix("testenv:").strip("{}"))
