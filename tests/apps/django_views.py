"""The views, routes and settings that Django with Channels and Django without it have in common."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe
from journal import note
from signals import arrived, finished, released

running: set[asyncio.Task[None]] = set()


@require_safe
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
    released.give()
    return HttpResponse("released")


@csrf_exempt
async def upload(request: ASGIRequest) -> HttpResponse:
    size = 0
    while chunk := request.read(65536):
        if not size:
            arrived.give()
        size += len(chunk)
    return JsonResponse({"size": size, "session_id": request.scope["session_id"]})


async def arrival(request: ASGIRequest) -> HttpResponse:
    await arrived.wait()
    return HttpResponse("arrived")


async def work(request: ASGIRequest) -> None:
    await released.wait()
    finished.give(request.scope["session_id"])


async def background(request: ASGIRequest) -> HttpResponse:
    task = asyncio.create_task(work(request))
    running.add(task)
    task.add_done_callback(running.discard)
    return HttpResponse("begun")


async def outcome(request: ASGIRequest) -> HttpResponse:
    return JsonResponse({"session_id": await finished.wait()})


async def mark(request: ASGIRequest) -> HttpResponse:
    request.scope.setdefault("state", {})["mark"] = "app"
    return HttpResponse("marked")


async def crash(request: ASGIRequest) -> HttpResponse:
    raise RuntimeError("the application failed")


urlpatterns = [
    path("session", session),
    path("stream", stream),
    path("release", release),
    path("upload", upload),
    path("arrival", arrival),
    path("background", background),
    path("outcome", outcome),
    path("mark", mark),
    path("crash", crash),
    path("mounted/", include([path("session", session)])),
]

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1", "testserver"],
    CORS_ALLOWED_ORIGINS=["https://page.example"],
    CORS_ALLOW_HEADERS=["x-openclaw-session-key"],
    INSTALLED_APPS=["corsheaders"],
    MIDDLEWARE=["corsheaders.middleware.CorsMiddleware"],
    ROOT_URLCONF=__name__,
)
