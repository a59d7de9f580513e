"""`sessionguard proxy URL`: one conversation id per session key in front of any upstream."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Annotated

import typer

from sessionguard.cli.guard_options import with_guard_options
from sessionguard.cli.hosting import Host, Listening, Port, Workers, host
from sessionguard.cli.proxying import ARGUMENTS, create_app
from sessionguard.proxy.websocket import MOST_BYTES

Upstream = Annotated[str, typer.Argument(metavar="URL", help="Where requests go, such as http://127.0.0.1:18789.")]
ConnectTimeout = Annotated[float, typer.Option(help="Seconds the upstream may take to accept a connection.")]
ForwardKey = Annotated[str, typer.Option(help="The session key the upstream gets: canonical or as-sent.")]
FirstByteTimeout = Annotated[float, typer.Option(help="Seconds it may be silent before its response begins.")]


@with_guard_options
def proxy(
    upstream: Upstream,
    *,
    host_: Host = "127.0.0.1",
    port: Port = 8080,
    workers: Workers = 1,
    connect_timeout: ConnectTimeout = 10.0,
    first_byte_timeout: FirstByteTimeout = 600.0,
    forward_key: ForwardKey = "as-sent",
    given: Mapping[str, str],
) -> None:
    """Serve a streaming proxy behind SessionGuard: for a gateway that is not Python, or is not to be touched.

    It carries requests and WebSockets. The upstream finds the id of the conversation in the header
    x-openclaw-session-id. Every setting is an
    option, and a variable of the environment; an option wins. Exits with 2 when something cannot work.
    """
    timeouts = {"connect_timeout": connect_timeout, "first_byte_timeout": first_byte_timeout}
    os.environ[ARGUMENTS] = json.dumps({"upstream": upstream, "forward_key": forward_key, **timeouts})
    # The response has the upstream's own headers, and a client may say as much at once as the upstream.
    # Forwarded headers are judged by the peer of the socket, so uvicorn must not put another client in its place.
    options = {"date_header": False, "server_header": False, "proxy_headers": False, "ws_max_size": MOST_BYTES}
    title = f"Forwarding to {upstream} behind SessionGuard"
    listening = Listening(host_, port, workers)
    host(title, "sessionguard.cli.proxying:create_app", create_app, given, listening, **options)
