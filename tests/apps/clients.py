"""Each framework's own test client, used on the guarded application as its users would.

`python clients.py FRAMEWORK CLIENT...` prints what the handler saw and what each client was told: `httpx`, which needs
no framework, or `own`. Some of the latter change the framework that they test, so `own` is best the last.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import sys
from collections.abc import Mapping
from typing import Any

NEED_LIFESPAN = {"sanic"}
"""Who does not start with the first request; `httpx` has no lifespan."""

KEY = {"x-openclaw-session-key": "room-1"}


def report(headers: Mapping[str, str], body: Any) -> dict[str, Any]:
    return {"seen": body["seen"], "status": headers.get("x-sessionguard-status")}


async def plain() -> dict[str, Any]:
    from asgiref.testing import ApplicationCommunicator
    from plain_app import app

    headers = [(name.encode(), value.encode()) for name, value in KEY.items()]
    scope = {"type": "http", "method": "GET", "path": "/session", "headers": headers}
    communicator = ApplicationCommunicator(app, scope)
    await communicator.send_input({"type": "http.request"})
    start, body = [await communicator.receive_output() for _ in range(2)]
    return report({name.decode(): value.decode() for name, value in start["headers"]}, json.loads(body["body"]))


def starlette() -> dict[str, Any]:
    from starlette.testclient import TestClient
    from starlette_app import app

    with TestClient(app) as client:
        response = client.get("/session", headers=KEY)
        return report(response.headers, response.json())


def fastapi() -> dict[str, Any]:
    from fastapi.testclient import TestClient
    from fastapi_app import app

    with TestClient(app) as client:
        response = client.get("/session", headers=KEY)
        return report(response.headers, response.json())


def litestar() -> dict[str, Any]:
    from litestar.testing import TestClient
    from litestar_app import app

    with TestClient(app) as client:
        response = client.get("/session", headers=KEY)
        return report(response.headers, response.json())


async def quart() -> dict[str, Any]:
    from quart_app import app

    async with app.test_app():
        response = await app.test_client().get("/session", headers=KEY)
        return report(response.headers, await response.get_json())


async def django() -> dict[str, Any]:
    import django_views
    from django.test import AsyncClient

    assert django_views.settings.configured
    response = await AsyncClient(headers=KEY).get("/session")
    return report(response.headers, response.json())


async def channels() -> dict[str, Any]:
    from channels.testing import HttpCommunicator
    from channels_app import app

    headers = [(name.encode(), value.encode()) for name, value in KEY.items()]
    response = await HttpCommunicator(app, "GET", "/session", headers=headers).get_response()
    told = {name.decode().lower(): value.decode() for name, value in response["headers"]}
    return report(told, json.loads(response["body"]))


def falcon() -> dict[str, Any]:
    from falcon.testing import TestClient
    from falcon_app import app

    response = TestClient(app).simulate_get("/session", headers=KEY)
    return report(response.headers, response.json)


async def blacksheep() -> dict[str, Any]:
    from blacksheep.testing import TestClient
    from blacksheep_app import sheep

    await sheep.start()
    response = await TestClient(sheep).get("/session", headers=KEY)
    headers = {name.decode().lower(): value.decode() for name, value in response.headers}
    return report(headers, await response.json())


async def sanic() -> dict[str, Any]:
    from sanic_app import sanic as app

    _, response = await app.asgi_client.get("/session", headers=KEY)
    return report(response.headers, response.json)


def flask() -> dict[str, Any]:
    from flask_app import flask as app

    response = app.test_client().get("/session", headers=KEY)
    return report(response.headers, response.get_json())


async def httpx(framework: str) -> dict[str, Any]:
    from asgi_lifespan import LifespanManager
    from httpx import ASGITransport, AsyncClient

    app = importlib.import_module(f"{framework}_app").app
    async with (
        LifespanManager(app) if framework in NEED_LIFESPAN else contextlib.nullcontext(),
        AsyncClient(transport=ASGITransport(app), base_url="http://127.0.0.1") as client,
    ):
        response = await client.get("/session", headers={"x-openclaw-session-key": "room-2"})
        return report(response.headers, response.json())


OWN = {client.__name__: client for client in (plain, starlette, fastapi, litestar, quart, django, channels, falcon)}
OWN |= {client.__name__: client for client in (blacksheep, sanic, flask)}

if __name__ == "__main__":
    name, *clients = sys.argv[1:]
    outcome = {}
    for client in clients:
        answer = httpx(name) if client == "httpx" else OWN[name]()
        outcome[client] = asyncio.run(answer) if asyncio.iscoroutine(answer) else answer
    print(json.dumps(outcome))
