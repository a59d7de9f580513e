"""A read-only page about the conversations, the waits and the store of a sessionguard."""

from sessionguard_status.plugin import StatusPlugin

__all__ = ["StatusPlugin"]
