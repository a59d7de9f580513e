"""What uvicorn serves here: the guarded agent, and a guarded proxy; modes and stores come from the environment."""

from __future__ import annotations

import os

from sessionguard_turns import TurnGate
from turns_app import agent

from sessionguard import SessionGuard
from sessionguard.proxy import ReverseProxy


def create_agent() -> SessionGuard:
    return SessionGuard(TurnGate(agent))


def create_proxy() -> SessionGuard:
    return SessionGuard(TurnGate(ReverseProxy(os.environ["UPSTREAM"])))
