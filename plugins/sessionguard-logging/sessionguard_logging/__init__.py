"""The session of a request on every record that is logged for it."""

from sessionguard_logging.filter import SessionFilter
from sessionguard_logging.plugin import LoggingPlugin

__all__ = ["LoggingPlugin", "SessionFilter"]
