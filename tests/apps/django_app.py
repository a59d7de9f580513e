"""Django: the guard around `get_asgi_application()`, and the id is in `request.scope` and `request.META`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path
from django.views.decorators.http import require_GET
from journal import note
from outside import Outside

from sessionguard import SessionGuard

released = asyncio.Event()


@require_GET
async def session(request: ASGIRequest) -> HttpResponse:
    note("session")
    seen = {
        "scope": request.scope.get("session_id"),
        "header": request.headers.get("x-openclaw-session-id"),
        "META": request.META.get("HTTP_X_OPENCLAW_SESSION_ID"),
    }
    return JsonResponse({"seen": seen, "headers": list(request.headers.items())})


async def chunks() -> AsyncIterator[str]:
    yield "first"
    await released.wait()
    yield "second"


async def stream(request: ASGIRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(chunks())


async def release(request: ASGIRequest) -> HttpResponse:
    released.set()
    return HttpResponse("released")


async def mark(request: ASGIRequest) -> HttpResponse:
    request.scope["state"]["mark"] = "app"
    return HttpResponse("marked")


async def crash(request: ASGIRequest) -> HttpResponse:
    raise RuntimeError("the application failed")


urlpatterns = [
    path("session", session),
    path("stream", stream),
    path("release", release),
    path("mark", mark),
    path("crash", crash),
]

settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["127.0.0.1"])
app = Outside(SessionGuard(get_asgi_application()))
