"""Django Channels: the guard around the `ProtocolTypeRouter`, and the id is in a consumer's `self.scope`."""

from __future__ import annotations

import django_views
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application
from django.urls import path
from journal import note
from outside import Outside

from sessionguard import SessionGuard

assert django_views.settings.configured


class Talk(AsyncJsonWebsocketConsumer):
    async def connect(self) -> None:
        note("websocket")
        await self.accept()
        header = dict(self.scope["headers"]).get(b"x-openclaw-session-id")
        await self.send_json({"scope": self.scope.get("session_id"), "header": header and header.decode()})
        await self.close()


router = ProtocolTypeRouter({"http": get_asgi_application(), "websocket": URLRouter([path("ws", Talk.as_asgi())])})
app = Outside(SessionGuard(router))
