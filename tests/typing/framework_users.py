"""What users of frameworks type. Never run; `mypy --strict` and `pyright` in strict mode read it."""

from __future__ import annotations

from fastapi import FastAPI, Request
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.types import ASGIApp
from typing_extensions import assert_type

from sessionguard import ResetPolicy, Resolution, SessionGuard, get_resolution

api = FastAPI()
api.add_middleware(SessionGuard)
api.add_middleware(SessionGuard, store="memory:", reset=ResetPolicy(), require_key=["/v1/*"])
api.add_middleware(SessionGuard, stor="memory:")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


@api.get("/")
def whoami(request: Request) -> str:
    assert_type(get_resolution(request.scope), Resolution)
    return get_resolution(request.scope).session_id


app = Starlette(middleware=[Middleware(SessionGuard, store="memory:")])
wrapped: ASGIApp = SessionGuard(app, store="memory:")
mounted: ASGIApp = SessionGuard(SessionGuard(api))
