"""A meter follows work from the outside, and stops it where it says that it can be stopped."""

import time

import pytest

from choose.meter import OutOfTime, metered, went


def work(steps: int, seconds: float, loop: str = "work") -> int:
    for done in range(1, steps + 1):
        time.sleep(seconds)
        went(done, steps, loop)
    return steps


def test_unheard_reports_do_nothing() -> None:
    assert work(3, 0.0) == 3


def test_work_stops_when_its_time_is_over_and_not_after_its_last_step() -> None:
    with pytest.raises(OutOfTime), metered(0.03):
        work(100, 0.01)
    with metered(0.005):
        work(1, 0.01)


def test_what_is_left_is_told_from_the_pace() -> None:
    with metered(0.1) as meter:
        with pytest.raises(OutOfTime):
            work(100, 0.01)
        assert meter.left == pytest.approx(0.9, rel=0.2)


def test_the_first_step_sets_up_and_does_not_count() -> None:
    with metered() as meter:
        time.sleep(0.2)
        went(1, 11, "work")
        time.sleep(0.01)
        went(2, 11, "work")
        assert meter.left == pytest.approx(0.09, rel=0.3)


def test_a_new_loop_starts_anew() -> None:
    with metered() as meter:
        assert meter.left is None
        work(3, 0.02, "slow")
        for done in (1, 2, 3):
            time.sleep(0.001)
            went(done, 4, "fast")
        assert meter.left is not None
        assert meter.left < 0.01


def test_a_stop_that_was_set_around_another_holds() -> None:
    with metered(0.02), pytest.raises(OutOfTime), metered(60):
        work(100, 0.01)
