"""An application that logs in and outside of the guard, with a handler on stdout that has the filter."""

import asyncio
import logging
import sys

from sessionguard_logging import SessionFilter

from sessionguard import SessionGuard

handler = logging.StreamHandler(sys.stdout)
handler.addFilter(SessionFilter())
handler.setFormatter(logging.Formatter("RECORD %(message)s %(session_origin)s"))
log = logging.getLogger("agent")
log.addHandler(handler)
log.setLevel(logging.INFO)
logging.getLogger("uvicorn.access").addHandler(handler)


async def agent(scope, receive, send):
    if scope["type"] != "http":
        return
    log.info("inside %s", scope["path"])
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await asyncio.sleep(0)
    await send({"type": "http.response.body", "body": b"ok"})
    log.info("behind %s", scope["path"])


guard = SessionGuard(agent)


async def app(scope, receive, send):
    if scope["type"] == "http":
        log.info("outside %s", scope["path"])
    await guard(scope, receive, send)
