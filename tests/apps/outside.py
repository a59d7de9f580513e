"""Middleware that stands outside the guard and tells the client what it can see of the application's writes."""

from __future__ import annotations

from sessionguard.asgi import ASGIApp, Message, Receive, Scope, Send


class Outside:
    """Adds `x-outside` to each response: the names that were added to its scope, `state.<name>` for its state."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        before = _names(scope)

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = " ".join(sorted(_names(scope) - before))
                message = {**message, "headers": [*message["headers"], (b"x-outside", added.encode())]}
            await send(message)

        await self._app(scope, receive, tell)


def _names(scope: Scope) -> set[str]:
    return {*scope, *(f"state.{name}" for name in scope.get("state", ()))}
