"""Section 5 of the design as tables: when a row is still the conversation."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterator

import pytest

from sessionguard import ConfigurationError, ResetPolicy, ResetRule, SessionGuard, SessionRecord

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR

SetZone = Callable[[str], None]


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[SetZone]:
    """Sets the local time zone of this process for one test."""

    def set_zone(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield set_zone
    monkeypatch.undo()
    time.tzset()


BERLIN = "CET-1CEST,M3.5.0,M10.5.0/3"
NEW_YORK = "EST5EDT,M3.2.0,M11.1.0"
KOLKATA = "IST-5:30"


def utc(text: str) -> int:
    """Milliseconds of a moment written in UTC."""
    return int(datetime.datetime.fromisoformat(f"{text}+00:00").timestamp() * 1000)


def is_fresh(rule: ResetRule, *, started: int, now: int, used: int | None = None) -> bool:
    used = started if used is None else used
    return rule.is_fresh(SessionRecord("id", started, used), used, now)


DAILY = {
    "started after today's boundary": ("UTC0", 4, "2026-05-02T04:00:01", "2026-05-02T12:00", True),
    "started on the boundary": ("UTC0", 4, "2026-05-02T04:00", "2026-05-02T12:00", True),
    "started a millisecond before": ("UTC0", 4, "2026-05-02T03:59:59.999", "2026-05-02T12:00", False),
    "now is the boundary": ("UTC0", 4, "2026-05-02T03:59", "2026-05-02T04:00", False),
    "now is a millisecond before the boundary": ("UTC0", 4, "2026-05-01T04:00", "2026-05-02T03:59:59.999", True),
    "before today's boundary yesterday's counts": ("UTC0", 4, "2026-05-01T03:59", "2026-05-02T01:00", False),
    "midnight": ("UTC0", 0, "2026-05-01T23:59", "2026-05-02T00:00", False),
    "eleven at night": ("UTC0", 23, "2026-05-01T23:00", "2026-05-02T22:59", True),
    "local time counts: India is 5:30 ahead": (KOLKATA, 4, "2026-05-01T22:29", "2026-05-01T22:30", False),
    "local time counts: not at four in UTC": (KOLKATA, 4, "2026-05-02T03:59", "2026-05-02T04:01", True),
    "Berlin in winter": (BERLIN, 4, "2026-01-10T02:59", "2026-01-10T03:00", False),
    "Berlin in summer": (BERLIN, 4, "2026-07-10T01:59", "2026-07-10T02:00", False),
    "the night the clocks go forward is an hour shorter": (BERLIN, 4, "2026-03-29T01:59", "2026-03-29T02:00", False),
    "before that boundary the winter one counts": (BERLIN, 4, "2026-03-28T03:00", "2026-03-29T01:59", True),
    "an hour that does not exist is the moment of the jump": (BERLIN, 2, "2026-03-29T00:59", "2026-03-29T01:00", False),
    "not before it": (BERLIN, 2, "2026-03-28T01:00", "2026-03-29T00:59", True),
    "the night the clocks go back is an hour longer": (BERLIN, 4, "2026-10-25T02:59", "2026-10-25T03:00", False),
    "an hour that comes twice: the first one": (BERLIN, 2, "2026-10-24T23:59", "2026-10-25T00:00", False),
    "an hour that comes twice: not the second one again": (BERLIN, 2, "2026-10-25T00:00", "2026-10-25T01:30", True),
    "New York, far behind": (NEW_YORK, 4, "2026-06-02T07:59", "2026-06-02T08:00", False),
}


@pytest.mark.parametrize(("name", "hour", "started", "now", "expected"), DAILY.values(), ids=DAILY)
def test_daily_looks_at_the_most_recent_local_hour(
    zone: SetZone, name: str, hour: int, started: str, now: str, expected: bool
) -> None:
    """A session that started before the most recent `daily_at` o'clock is stale; strictly before."""
    zone(name)
    assert expected == is_fresh(ResetRule(daily_at=hour), started=utc(started), now=utc(now))


def test_daily_does_not_look_at_the_last_use(zone: SetZone) -> None:
    """A conversation in use all night still starts anew."""
    zone("UTC0")
    now = utc("2026-05-02T04:00")
    assert not is_fresh(ResetRule(daily_at=4), started=now - 1, used=now, now=now)


@pytest.mark.parametrize(
    ("unused", "expected"), [(0, True), (HOUR - 1, True), (HOUR, True), (HOUR + 1, False), (DAY, False)]
)
def test_idle_is_strictly_more_than_the_limit(unused: int, expected: bool) -> None:
    """A session unused for exactly the limit is still the conversation."""
    assert expected == is_fresh(ResetRule(idle=HOUR), started=0, used=100 * DAY, now=100 * DAY + unused)


BOTH = {
    "neither has expired": ("2026-05-02T05:00", "2026-05-02T11:30", True),
    "only daily has": ("2026-05-02T03:00", "2026-05-02T11:30", False),
    "only idle has": ("2026-05-02T05:00", "2026-05-02T10:59", False),
    "both have": ("2026-05-02T03:00", "2026-05-02T03:00", False),
}


@pytest.mark.parametrize(("started", "used", "expected"), BOTH.values(), ids=BOTH)
def test_with_both_rules_the_first_to_expire_wins(zone: SetZone, started: str, used: str, expected: bool) -> None:
    """`daily` and `idle` together: stale as soon as either says so."""
    zone("UTC0")
    rule = ResetRule(daily_at=4, idle=HOUR)
    assert expected == is_fresh(rule, started=utc(started), used=utc(used), now=utc("2026-05-02T12:00"))


RULES = [ResetRule(), ResetRule(daily_at=4), ResetRule(idle=1), ResetRule(daily_at=0, idle=1)]


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_a_time_in_the_future_never_makes_a_row_stale(rule: ResetRule) -> None:
    """Hosts disagree about the time; a row written by a faster clock is fresh."""
    now = utc("2026-05-02T12:00")
    assert is_fresh(rule, started=now + 400 * DAY, now=now)


def test_without_a_rule_a_row_lives_for_ever() -> None:
    """The default never resets."""
    assert is_fresh(ResetRule(), started=0, now=utc("2026-05-02T12:00"))
    assert ResetPolicy().never_resets


POLICY = ResetPolicy.parse("idle=1m;thread:idle=2m;group:idle=3m;direct:idle=4m;telegram:idle=5m;matrix:none")
KINDS_ONLY = ResetPolicy.parse("idle=1m;group:idle=3m")

CHOSEN = {
    "a thread": (POLICY, "agent:main:x:thread:1", 2),
    "a topic is a thread": (POLICY, "agent:main:slack:group:x:topic:1", 2),
    "a thread in a group is a thread": (POLICY, "agent:main:slack:group:x:thread:1", 2),
    "a group": (POLICY, "agent:main:slack:group:x", 3),
    "a channel is a group": (POLICY, "agent:main:slack:channel:x", 3),
    "anything else is direct": (POLICY, "agent:main:x", 4),
    "global is direct": (POLICY, "global", 4),
    "a word that ends like a kind": (POLICY, "agent:main:x:subgroup:y", 4),
    "a kind at the end is a name": (POLICY, "agent:main:x:group", 4),
    "a channel's rule wins over its kind's": (POLICY, "agent:main:telegram:group:x", 5),
    "in threads too": (POLICY, "agent:main:telegram:group:x:thread:1", 5),
    "a channel whose rule is none": (POLICY, "agent:main:matrix:channel:!AbC:S", None),
    "a channel with nothing behind it is a name": (POLICY, "agent:main:telegram", 4),
    "a channel further in is none": (POLICY, "agent:main:slack:telegram:x", 4),
    "the first segment called group is a kind": (POLICY, "agent:main:group:telegram", 3),
    "the first segment called direct is no channel": (POLICY, "agent:main:direct:x:thread:1", 2),
    "a kind without a rule has the default": (KINDS_ONLY, "agent:main:x", 1),
    "another kind without a rule": (KINDS_ONLY, "agent:main:x:thread:1", 1),
    "the kind that has one": (KINDS_ONLY, "agent:main:x:channel:1", 3),
    "no overrides at all": (ResetPolicy.parse("idle=9m"), "agent:main:telegram:group:x", 9),
}


@pytest.mark.parametrize(("policy", "session_key", "minutes"), CHOSEN.values(), ids=CHOSEN)
def test_the_channel_is_asked_before_the_kind_and_the_kind_before_the_default(
    policy: ResetPolicy, session_key: str, minutes: int | None
) -> None:
    """Overrides per channel win over those per kind, those over the default."""
    assert (None if minutes is None else minutes * MINUTE) == policy.rule_for(session_key).idle


PARSED = {
    "none": ResetPolicy(),
    " none ": ResetPolicy(),
    "daily@4": ResetPolicy(ResetRule(daily_at=4)),
    "daily@0": ResetPolicy(ResetRule(daily_at=0)),
    "daily@04": ResetPolicy(ResetRule(daily_at=4)),
    "daily@23": ResetPolicy(ResetRule(daily_at=23)),
    "idle=90s": ResetPolicy(ResetRule(idle=90_000)),
    "idle=60m": ResetPolicy(ResetRule(idle=HOUR)),
    "idle=2h": ResetPolicy(ResetRule(idle=2 * HOUR)),
    "idle=7d": ResetPolicy(ResetRule(idle=7 * DAY)),
    "daily@4,idle=60m": ResetPolicy(ResetRule(4, HOUR)),
    "idle=60m , daily@4": ResetPolicy(ResetRule(4, HOUR)),
    "idle=60m;group:idle=2h;thread:none": ResetPolicy(
        ResetRule(idle=HOUR), {"group": ResetRule(idle=2 * HOUR), "thread": ResetRule()}
    ),
    "idle=60m; group: idle=2h; thread: none": ResetPolicy(
        ResetRule(idle=HOUR), {"group": ResetRule(idle=2 * HOUR), "thread": ResetRule()}
    ),
    "group:daily@4,idle=2h": ResetPolicy(overrides={"group": ResetRule(4, 2 * HOUR)}),
    "none;ms-teams:daily@6": ResetPolicy(overrides={"ms-teams": ResetRule(6)}),
}


@pytest.mark.parametrize(("text", "expected"), PARSED.items(), ids=repr)
def test_a_policy_can_be_written_as_text(text: str, expected: ResetPolicy) -> None:
    """The grammar of `SESSIONGUARD_RESET`."""
    assert expected == ResetPolicy.parse(text)


UNREADABLE = [
    "",
    " ",
    "never",
    "daily",
    "daily@",
    "daily@four",
    "daily@-1",
    "daily@4:30",
    "DAILY@4",
    "idle",
    "idle=",
    "idle=60",
    "idle=1.5h",
    "idle=-1m",
    "idle=60w",
    "daily@4,",
    "daily@4,daily@5",
    "idle=1h,idle=2h",
    "none,idle=1h",
    "daily@4 idle=1h",
    "idle=1h;",
    "idle=1h;;group:none",
    "idle=1h;daily@4",
    "idle=1h;group:",
    "idle=1h;group:soon",
    "idle=1h;:none",
    "idle=1h;Group:none",
    "idle=1h;group:none;group:none",
]


@pytest.mark.parametrize("text", UNREADABLE, ids=repr)
def test_a_policy_outside_the_grammar_is_refused(text: str) -> None:
    """The error repeats what was written and shows what can be."""
    with pytest.raises(ConfigurationError) as caught:
        ResetPolicy.parse(text)
    assert repr(text) in str(caught.value)
    assert "daily@4,idle=60m" in str(caught.value)


@pytest.mark.parametrize(("text", "shown"), [("daily@24", "daily@24"), ("idle=0m", "0 ms"), ("x:daily@99", "0 to 23")])
def test_a_policy_out_of_range_is_refused(text: str, shown: str) -> None:
    """Hours go from 0 to 23, and an idle limit is longer than nothing."""
    with pytest.raises(ConfigurationError, match=shown):
        ResetPolicy.parse(text)


@pytest.mark.parametrize("options", [{"daily_at": -1}, {"daily_at": 24}, {"idle": 0}, {"idle": -1}], ids=str)
def test_a_rule_out_of_range_is_refused(options: dict[str, int]) -> None:
    """The same limits hold for rules made in Python."""
    with pytest.raises(ConfigurationError, match="reset: "):
        ResetRule(**options)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("none", None), ("daily@4", None), ("idle=2h", 2 * HOUR), ("idle=2h;x:idle=1h;y:none", HOUR), ("x:idle=1h", HOUR)],
)
def test_the_shortest_idle_limit_is_known(text: str, expected: int | None) -> None:
    """Every rule counts, overrides too."""
    assert expected == ResetPolicy.parse(text).shortest_idle


@pytest.mark.parametrize("text", ["idle=119s", "none;telegram:idle=119s", "daily@4,idle=1m"])
def test_an_idle_limit_below_twice_the_touch_interval_is_refused(text: str) -> None:
    """Signs of life are written every `touch_interval`; a shorter limit would end conversations in use."""
    with pytest.raises(ConfigurationError, match=r"below twice touch_interval \(60 s\).*SESSIONGUARD_TOUCH_INTERVAL"):
        SessionGuard(lambda: None, store="memory:", reset=text)


def test_an_idle_limit_of_twice_the_touch_interval_is_accepted() -> None:
    """The limit itself is legal."""
    SessionGuard(lambda: None, store="memory:", reset="idle=120s")
    SessionGuard(lambda: None, store="memory:", reset=ResetPolicy(ResetRule(idle=2_000)), touch_interval=1)
