"""Flask, a WSGI framework, through a2wsgi: the guard around the adapter, and the id is in `request.environ`."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from a2wsgi import WSGIMiddleware
from flask import Blueprint, Flask, Response, request
from flask_cors import CORS
from journal import note
from outside import Outside
from patient import Patient

from sessionguard import SessionGuard

flask = Flask(__name__)
CORS(flask, origins="https://page.example", allow_headers=["x-openclaw-session-key"])
mounted = Blueprint("mounted", __name__, url_prefix="/mounted")

released: SimpleQueue[None] = SimpleQueue()
arrived: SimpleQueue[None] = SimpleQueue()
finished: SimpleQueue[str] = SimpleQueue()


def seen() -> dict[str, str | None]:
    return {
        "scope": request.environ.get("asgi.scope", {}).get("session_id"),
        "header": request.headers.get("x-openclaw-session-id"),
        "environ": request.environ.get("HTTP_X_OPENCLAW_SESSION_ID"),
    }


@mounted.get("/session")
@flask.get("/session")
def session() -> dict[str, Any]:
    note("session")
    return {"seen": seen(), "headers": list(request.headers.items())}


def chunks() -> Iterator[str]:
    yield "first"
    released.get()
    yield "second"


@flask.get("/stream")
def stream() -> Iterator[str]:
    return chunks()


@flask.get("/release")
def release() -> str:
    released.put(None)
    return "released"


def whole(end: Path) -> Iterator[str]:
    yield "whole"
    end.read_bytes()


@flask.get("/early")
def early() -> Response:
    """Complete for its client before the application is done with it, which it is when the pipe `end` is closed."""
    return Response(whole(Path(request.args["end"])), headers={"content-length": "5"})


@flask.post("/upload")
def upload() -> dict[str, Any]:
    size = 0
    while chunk := request.stream.read(65536):
        if not size:
            arrived.put(None)
        size += len(chunk)
    return {"size": size, "session_id": request.environ["asgi.scope"]["session_id"]}


@flask.get("/arrival")
def arrival() -> str:
    arrived.get()
    return "arrived"


def work(session_id: str) -> None:
    released.get()
    finished.put(session_id)


@flask.get("/background")
def background() -> str:
    threading.Thread(target=work, args=[request.environ["asgi.scope"]["session_id"]]).start()
    return "begun"


@flask.get("/outcome")
def outcome() -> dict[str, str]:
    return {"session_id": finished.get()}


@flask.get("/mark")
def mark() -> str:
    request.environ["asgi.scope"].setdefault("state", {})["mark"] = "app"
    return "marked"


@flask.get("/crash")
def crash() -> str:
    raise RuntimeError("the application failed")


flask.register_blueprint(mounted)
app = Outside(SessionGuard(Patient(WSGIMiddleware(flask))))
