"""The turn gate for sessionguard: a second message of a conversation waits for the first, instead of racing it."""

from sessionguard_turns.busy import SessionBusy
from sessionguard_turns.gate import TurnGate
from sessionguard_turns.plugin import TurnsPlugin
from sessionguard_turns.settings import Mode, TurnSettings
from sessionguard_turns.turn import TOKEN_HEADER, Turn, get_turn

__all__ = ("TOKEN_HEADER", "Mode", "SessionBusy", "Turn", "TurnGate", "TurnSettings", "TurnsPlugin", "get_turn")
