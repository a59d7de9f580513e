"""Is this row still the conversation? Pure rules: every time is handed in, no clock is read here.

The rules are the upstream gateway's: daily looks at when the session started, idle at when it was last used, and with
both the one that expires first wins. A time in the future never makes a row stale.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from sessionguard.durations import milliseconds
from sessionguard.errors import ConfigurationError
from sessionguard.records import SessionRecord

KINDS = ("thread", "group", "direct")
GRAMMAR = "none, daily@4, idle=60m, daily@4,idle=60m, or with overrides idle=60m;group:idle=2h;thread:none"

_DAILY = re.compile(r"daily@(\d{1,2})")
_IDLE = re.compile(r"idle=(\d+[smhd])")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class ResetRule:
    """One rule: stale at `daily_at` o'clock local time (0-23), after `idle` unused milliseconds, or never."""

    daily_at: int | None = None
    idle: int | None = None

    def __post_init__(self) -> None:
        if self.daily_at is not None and not 0 <= self.daily_at <= 23:
            raise ConfigurationError(f"reset: daily@{self.daily_at} is not an hour; use 0 to 23")
        if self.idle is not None and self.idle <= 0:
            raise ConfigurationError(f"reset: an idle limit of {self.idle} ms is not longer than nothing; use idle=60m")

    def is_fresh(self, record: SessionRecord, last_used: int, now: int) -> bool:
        if self.daily_at is not None and record.session_started_at < _most_recent(self.daily_at, now):
            return False
        return self.idle is None or now - last_used <= self.idle


NEVER = ResetRule()


@dataclass(frozen=True, slots=True)
class ResetPolicy:
    """The rule of every conversation: `default`, overridden per kind of key, overridden per channel.

    Kinds are `thread` (the key has `:thread:` or `:topic:`), `group` (`:group:` or `:channel:`) and `direct` (the
    rest). The channel is the first segment behind `agent:<id>:`, when another one follows.
    """

    default: ResetRule = field(default_factory=ResetRule)
    overrides: Mapping[str, ResetRule] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> ResetPolicy:
        """Read the text form (`GRAMMAR`); raises ConfigurationError with the grammar for anything else."""
        default = ResetRule()
        overrides: dict[str, ResetRule] = {}
        for position, part in enumerate(piece.strip() for piece in text.split(";")):
            name, colon, rule = part.partition(":")
            if not colon and position == 0:
                default = _parse_rule(part, text)
            elif not colon or not _NAME.fullmatch(name) or name in overrides:
                raise _unreadable(text)
            else:
                overrides[name] = _parse_rule(rule.strip(), text)
        return cls(default, overrides)

    @property
    def never_resets(self) -> bool:
        return not self.overrides and self.default == NEVER

    @property
    def shortest_idle(self) -> int | None:
        """The shortest idle limit of any rule in milliseconds, None without one."""
        limits = [rule.idle for rule in (self.default, *self.overrides.values()) if rule.idle is not None]
        return min(limits, default=None)

    def rule_for(self, session_key: str) -> ResetRule:
        if not self.overrides:
            return self.default
        by_kind = self.overrides.get(_kind(session_key), self.default)
        return self.overrides.get(_channel(session_key), by_kind)


def _most_recent(hour: int, now: int) -> int:
    local = datetime.datetime.fromtimestamp(now / 1000)  # noqa: DTZ006 - the rule is about local time
    boundary = local.replace(hour=hour, minute=0, second=0, microsecond=0, fold=0)
    if boundary > local:
        boundary -= datetime.timedelta(days=1)
    return int(boundary.timestamp() * 1000)


def _kind(session_key: str) -> str:
    if ":thread:" in session_key or ":topic:" in session_key:
        return "thread"
    if ":group:" in session_key or ":channel:" in session_key:
        return "group"
    return "direct"


def _channel(session_key: str) -> str:
    segments = session_key.split(":")
    return segments[2] if len(segments) > 3 and segments[2] not in KINDS else ""


def _parse_rule(text: str, whole: str) -> ResetRule:
    if text == "none":
        return ResetRule()
    daily_at = idle = None
    for word in text.split(","):
        if (daily := _DAILY.fullmatch(word.strip())) and daily_at is None:
            daily_at = int(daily[1])
        elif (limit := _IDLE.fullmatch(word.strip())) and idle is None:
            idle = milliseconds(limit[1])
        else:
            raise _unreadable(whole)
    return ResetRule(daily_at, idle)


def _unreadable(text: str) -> ConfigurationError:
    return ConfigurationError(f"reset: {text!r} is not understood; write {GRAMMAR}")
