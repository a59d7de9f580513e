"""An hour and no more."""

from __future__ import annotations

from sessionguard_status.journal import Journal
from sessionguard_status.plot import HEIGHT, plot_of


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def test_what_was_seen_is_forgotten_after_an_hour() -> None:
    clock = Clock()
    journal = Journal(clock)
    journal.resolved("new")
    journal.waited("admitted", 0.5)
    clock.now += 59 * 60
    kept = sum(minute.origins.total() for minute in journal.minutes()), journal.waits().outcomes.total()
    clock.now += 2 * 60
    gone = sum(minute.origins.total() for minute in journal.minutes()), journal.waits().outcomes.total()

    assert (kept, gone) == ((1, 1), (0, 0))


def test_an_hour_is_sixty_minutes_with_those_in_which_nothing_came() -> None:
    clock = Clock()
    journal = Journal(clock)
    journal.resolved("new")
    clock.now += 10 * 60
    journal.resolved("existing")
    minutes = journal.minutes()

    assert len(minutes) == 60
    assert [minute.origins.total() for minute in minutes[-11:]] == [1, *[0] * 9, 1]


def test_memory_does_not_grow_with_time_or_with_waits() -> None:
    clock = Clock()
    journal = Journal(clock)
    for _ in range(5000):
        journal.resolved("new")
        journal.waited("admitted", 0.1)
        clock.now += 60

    assert len(journal._minutes) == 60
    assert len(journal._waits) == 1000


def test_the_highest_bar_fills_the_plot_and_pieces_stand_on_each_other() -> None:
    clock = Clock()
    journal = Journal(clock)
    for origin in ("new", "existing", "existing", "existing"):
        journal.resolved(origin)
    lower, upper = plot_of(journal.minutes()).pieces

    assert (lower.origin, upper.origin) == ("new", "existing")
    assert lower.y + lower.height == HEIGHT
    assert upper.y + upper.height == lower.y
    assert upper.y == 0
