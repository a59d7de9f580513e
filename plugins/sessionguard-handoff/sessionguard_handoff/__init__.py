"""Internal handoffs for sessionguard: read the conversation's row, never write one."""

from sessionguard_handoff.marker import INTERNAL
from sessionguard_handoff.plugin import HandoffPlugin

__all__ = ("INTERNAL", "HandoffPlugin")
