"""A meter follows work from the outside, and stops it where it says that it can be stopped.

Time is told by the tests' own clock: a busy machine oversleeps.
"""

from __future__ import annotations

from math import inf

import pytest

from choose import progress as meters
from choose.progress import OutOfTime, metered, seconds_left, went


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def work(self, steps: int, seconds: float, loop: str = "work") -> int:
        """Take so many steps of a loop."""
        for done in range(1, steps + 1):
            self.now += seconds
            went(done, steps, loop)
        return steps


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(meters, "perf_counter", found)
    return found


def test_unheard_reports_do_nothing(clock: Clock) -> None:
    assert clock.work(3, 0.0) == 3


def test_work_stops_when_its_time_is_over_and_not_after_its_last_step(clock: Clock) -> None:
    with pytest.raises(OutOfTime), metered(3.5):
        clock.work(100, 1.0)
    assert clock.now == 4.0
    with metered(0.5):
        clock.work(1, 1.0)


def test_work_that_reports_nothing_can_ask_how_long_it_has(clock: Clock) -> None:
    assert seconds_left() == inf
    with metered():
        assert seconds_left() == inf
    with metered(10):
        clock.now += 4
        assert seconds_left() == 6
        with metered(60):
            assert seconds_left() == 6
        with metered(1):
            assert seconds_left() == 1
        clock.now += 7
        assert seconds_left() == 0
    assert seconds_left() == inf


def test_what_is_left_is_told_from_the_pace(clock: Clock) -> None:
    with metered(9.5) as meter:
        with pytest.raises(OutOfTime):
            clock.work(100, 1.0)
        assert meter.left == pytest.approx(90.0)


def test_the_first_step_sets_up_and_does_not_count(clock: Clock) -> None:
    with metered() as meter:
        clock.now += 20.0
        went(1, 11, "work")
        clock.now += 1.0
        went(2, 11, "work")
        assert meter.left == pytest.approx(9.0)


def test_a_new_loop_starts_anew(clock: Clock) -> None:
    with metered() as meter:
        assert meter.left is None
        clock.work(3, 20.0, "slow")
        for done in (1, 2, 3):
            clock.now += 1.0
            went(done, 4, "fast")
        assert meter.left == pytest.approx(1.0)


def test_a_stop_that_was_set_around_another_holds(clock: Clock) -> None:
    with metered(2.5), pytest.raises(OutOfTime), metered(60):
        clock.work(100, 1.0)
    assert clock.now == 3.0


def forever() -> None:
    done = 0
    while True:
        done += 1
        went(done, done + 1, "work")


def test_without_a_clock_of_ours_time_passes() -> None:
    with pytest.raises(OutOfTime), metered(0.02):
        forever()
