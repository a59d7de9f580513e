"""A complete proxy server: one conversation id per session key in front of any upstream, for HTTP and WebSockets.

    pip install "sessionguard[cli]"
    python standalone_proxy.py --upstream http://127.0.0.1:18789 --port 8080 --workers 2

The upstream finds the id of the conversation in the request header x-openclaw-session-id.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import uvicorn

from sessionguard import ConfigurationError, SessionGuard
from sessionguard.proxy import ReverseProxy
from sessionguard.proxy.websocket import MOST_BYTES

# Workers are processes of their own and read their settings from the environment; names that begin with
# SESSIONGUARD_ belong to the guard.
UPSTREAM_VARIABLE = "STANDALONE_PROXY_UPSTREAM"


def create_app() -> SessionGuard:
    """Return the guarded proxy; every worker calls this."""
    return SessionGuard(ReverseProxy(os.environ[UPSTREAM_VARIABLE]))


def main() -> None:
    """Read the options, refuse what cannot work, and serve until a signal comes."""
    parser = argparse.ArgumentParser(description="One conversation id per session key, in front of any HTTP upstream.")
    parser.add_argument("--upstream", required=True, help="where requests go, such as http://127.0.0.1:18789")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (%(default)s)")
    parser.add_argument("--port", default=8080, type=int, help="the port to listen on (%(default)s)")
    parser.add_argument("--store", help="where conversations are kept (SESSIONGUARD_STORE, else the state directory)")
    parser.add_argument("--workers", default=1, type=int, help="how many processes serve (%(default)s)")
    options = parser.parse_args()
    if not 0 <= options.port <= 65535:
        parser.error(f"--port: {options.port} is not a port; expected 0 to 65535")
    if options.workers < 1:
        parser.error(f"--workers: {options.workers} is too few; expected 1 or more")

    os.environ[UPSTREAM_VARIABLE] = options.upstream
    if options.store is not None:
        os.environ["SESSIONGUARD_STORE"] = options.store
    if options.workers > 1:
        os.environ.setdefault("SESSIONGUARD_COORDINATION", "host")  # Refuses a store that every worker has to itself.
    try:
        create_app()
    except ConfigurationError as error:
        parser.error(str(error))
    uvicorn.run(
        f"{Path(__file__).stem}:create_app",
        factory=True,
        app_dir=str(Path(__file__).parent),
        host=options.host,
        port=options.port,
        workers=options.workers,
        date_header=False,  # The response has the upstream's own.
        server_header=False,
        proxy_headers=False,  # The proxy judges forwarded headers by the peer of the socket.
        ws_max_size=MOST_BYTES,  # A client may say as much at once as the upstream.
    )


if __name__ == "__main__":
    main()
