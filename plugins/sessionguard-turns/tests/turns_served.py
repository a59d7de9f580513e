"""The applications for uvicorn: the guarded agent, and a guarded proxy; the environment has their settings."""

from __future__ import annotations

import os

from sessionguard_turns import TurnGate, asking
from turns_app import agent, answer

from sessionguard import SessionGuard
from sessionguard.asgi import ASGIApp, Receive, Scope, Send


def create_agent() -> ASGIApp:
    # On a busy machine a server takes longer to come back than the default limit of a waiting request.
    asking.OUTAGE_WAITING = 60.0
    gate = TurnGate(agent)
    guard = SessionGuard(gate)

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        """Answer /present with the number of turns and waiting requests of this process; guard everything else."""
        if scope.get("path") == "/present":
            turnstile = gate._entrance.turnstile
            await answer(send, len(turnstile) + turnstile._waiting)
        else:
            await guard(scope, receive, send)

    return application


def create_proxy() -> SessionGuard:
    from sessionguard.proxy import ReverseProxy

    return SessionGuard(TurnGate(ReverseProxy(os.environ["UPSTREAM"])))
