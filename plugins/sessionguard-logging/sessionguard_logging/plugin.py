"""The plugin: the application behind the guard runs with its session known to the filter."""

from __future__ import annotations

from sessionguard import hookimpl
from sessionguard.asgi import ASGIApp
from sessionguard_logging.current import Remembering


class LoggingPlugin:
    """Installed, it works; what is logged is up to the handlers that have a `SessionFilter`."""

    @hookimpl
    def sessionguard_wrap_app(self, app: ASGIApp) -> ASGIApp:
        return Remembering(app)
