"""With pytest-xdist, the tests of one server run in one worker: it is started once."""

from __future__ import annotations

import re
from typing import Any

import pytest
from frameworks.framework import FRAMEWORKS
from servers.server import KINDS

_FRAMEWORK, _SERVER = "|".join(FRAMEWORKS), "|".join(KINDS)
SHARING = re.compile(rf"\[((?:{_FRAMEWORK})(?:-(?:{_SERVER}))?|{_SERVER})\b")
"""The framework and the server that begin a test's parameters, or one of them."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Group tests by their ids, since `--dist loadgroup` of xdist 3.8 groups nothing with pytest 9.2."""
    from xdist.scheduler import LoadScopeScheduling

    class SharingServers(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            found = SHARING.search(nodeid)
            return found[1] if found else nodeid

    return SharingServers(config, log)
