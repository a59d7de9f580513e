"""A streaming proxy as an ASGI application, for gateways that are not Python, or are not to be touched.

Nothing about the guard is known here; the id it resolved is one more request header. `upstream` is where requests go,
`headers` which headers go with them, `http` and `websocket` how, and `reverse` is the application of all that.
"""

from sessionguard.proxy.reverse import ReverseProxy

__all__ = ["ReverseProxy"]
