"""An agent behind a guard; the header `x-user` says who asks, and one that says `slow` holds its turn for a while."""

import asyncio

from sessionguard import SessionGuard, hookimpl


class Users:
    @hookimpl
    def sessionguard_principal(self, scope):
        user = dict(scope["headers"]).get(b"x-user")
        return user.decode() if user else None


async def agent(scope, receive, send):
    if scope["type"] != "http":
        return
    if scope["path"] == "/slow":
        await asyncio.sleep(0.3)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})


app = SessionGuard(agent, plugins=[Users])
