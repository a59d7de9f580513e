"""A streaming proxy as an ASGI application, for gateways that are not Python, or are not to be touched.

Of the guard it knows two things: the id is one more request header, and the turn of a request, if it has one, is told
when the upstream answers with `x-sessionguard-ready`. `upstream` is where requests go,
`headers` which headers go with them, `http` and `websocket` how, and `reverse` is the application of all that.
"""

from sessionguard.proxy.reverse import ReverseProxy

__all__ = ["ReverseProxy"]
