"""The application that APP names, guarded as it is; a CORS middleware stands in front of it for one origin alone.

So one process serves both kinds of application: with and without CORS in front, where browsers can read refusals too.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

from starlette.middleware.cors import CORSMiddleware

ORIGIN = "https://front.example"

guarded = importlib.import_module(f"{os.environ['APP']}_app").app
fronted = CORSMiddleware(
    guarded,
    allow_origins=[ORIGIN],
    allow_headers=["x-openclaw-session-key"],
    expose_headers=["x-sessionguard-status"],
)


async def app(scope: Any, receive: Any, send: Any) -> None:
    is_of_front = (b"origin", ORIGIN.encode()) in [*map(tuple, scope.get("headers", ()))]
    await (fronted if is_of_front else guarded)(scope, receive, send)
