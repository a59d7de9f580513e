"""The application that APP names, guarded as it is, behind a CORS middleware: browsers can read refusals too."""

from __future__ import annotations

import importlib
import os

from starlette.middleware.cors import CORSMiddleware

app = CORSMiddleware(
    importlib.import_module(f"{os.environ['APP']}_app").app,
    allow_origins=["https://front.example"],
    allow_headers=["x-openclaw-session-key"],
    expose_headers=["x-sessionguard-status"],
)
