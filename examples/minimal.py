"""The whole idea in one line. Run it:

    uvicorn --app-dir examples minimal:app
    curl -i -H "x-openclaw-session-key: my-chat" http://127.0.0.1:8000/

The second answer is `existing` and has the same id.
"""

from typing import Any

from sessionguard import SessionGuard


async def agent(scope: Any, receive: Any, send: Any) -> None:
    """Any ASGI application; it finds the conversation's id in its scope."""
    session_id = scope.get("session_id", "none, because the request named no conversation")
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": f"session id: {session_id}\n".encode()})


app = SessionGuard(agent)
