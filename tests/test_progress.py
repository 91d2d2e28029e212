"""Progress reports and time limits, on a clock of the tests: a busy machine oversleeps."""

from math import inf

import pytest

from choose import progress
from choose.progress import (
    TimeLimitReached,
    as_decided,
    as_part,
    decided_in_time,
    report_progress,
    seconds_left,
    time_limit,
)


class Clock:
    """A clock that only `work` moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def work(self, steps: int, seconds: float, loop: str = "work") -> int:
        """Take so many steps of a loop."""
        for done in range(1, steps + 1):
            self.now += seconds
            report_progress(done, steps, loop)
        return steps


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(progress, "perf_counter", found)
    return found


def test_what_time_decided_in_a_fit_is_decided_alike_where_it_is_made_again() -> None:
    assert decided_in_time("steps", 3, 10) == 3
    with as_decided() as made:
        assert decided_in_time("steps", 3, 10) == 3
        assert decided_in_time("rows", 5, 5) == 5
    assert made == {"steps": 3}
    with as_decided(made) as again:
        assert decided_in_time("steps", 10, 10) == 3
        assert decided_in_time("rows", 2, 5) == 5, "a slower machine shortens nothing else"
    assert again == made


@pytest.mark.parametrize("decisions", [(3, 10), (10, 4, 10), (3, 5, 7)])
def test_a_decision_that_is_taken_again_is_made_again_alike(decisions: tuple[int, ...]) -> None:
    with as_decided() as made:
        first = [decided_in_time("rows", value, 10) for value in decisions]
    with as_decided(made) as again:
        assert [decided_in_time("rows", 1, 10) for _ in decisions] == first
    assert again == made


def test_reports_outside_a_time_limit_do_nothing(clock: Clock) -> None:
    assert clock.work(3, 0.0) == 3


def test_a_loop_stops_at_the_deadline_but_not_after_its_last_step(clock: Clock) -> None:
    with pytest.raises(TimeLimitReached), time_limit(3.5):
        clock.work(100, 1.0)
    assert clock.now == 4.0
    with time_limit(0.5):
        clock.work(1, 1.0)


def test_seconds_left_is_that_of_the_innermost_deadline(clock: Clock) -> None:
    assert seconds_left() == inf
    with time_limit():
        assert seconds_left() == inf
    with time_limit(10):
        clock.now += 4
        assert seconds_left() == 6
        with time_limit(60):
            assert seconds_left() == 6
        with time_limit(1):
            assert seconds_left() == 1
        clock.now += 7
        assert seconds_left() == 0
    assert seconds_left() == inf


def test_seconds_remaining_are_extrapolated(clock: Clock) -> None:
    with time_limit(9.5) as tracker:
        with pytest.raises(TimeLimitReached):
            clock.work(100, 1.0)
        assert tracker.seconds_remaining == pytest.approx(90.0)


@pytest.mark.parametrize("announced", [True, False])
def test_the_first_step_includes_set_up_and_does_not_count(clock: Clock, announced: bool) -> None:
    with time_limit() as tracker:
        if announced:
            report_progress(0, 11, "work")
        clock.now += 20.0
        report_progress(1, 11, "work")
        clock.now += 1.0
        report_progress(2, 11, "work")
        assert tracker.seconds_remaining == pytest.approx(9.0)


def test_a_new_loop_resets_the_extrapolation(clock: Clock) -> None:
    with time_limit() as tracker:
        assert tracker.seconds_remaining is None
        clock.work(3, 20.0, "slow")
        for done in (1, 2, 3):
            clock.now += 1.0
            report_progress(done, 4, "fast")
        assert tracker.seconds_remaining == pytest.approx(1.0)


def test_the_first_report_of_a_later_loop_is_timed_from_its_own_begin(clock: Clock) -> None:
    with time_limit() as tracker:
        clock.work(3, 20.0, "embedding")
        clock.now += 30.0
        report_progress(0, 100, "writing")
        clock.now += 1.0
        report_progress(10, 100, "writing")
        assert tracker.seconds_remaining == pytest.approx(9.0)
        clock.work(3, 1.0, "embedding")
        clock.now += 2.0
        report_progress(1, 4, "reading")
        assert tracker.seconds_remaining == pytest.approx(6.0)


def test_a_part_is_reported_in_the_units_of_the_whole(clock: Clock) -> None:
    with time_limit() as tracker:
        for done in (0, 20):
            with as_part(done, 20, 100, "choosing"):
                clock.work(4, 2.0)
        assert (tracker.loop, tracker.total) == ("choosing", 100)
        assert tracker.seconds_remaining == pytest.approx(60 / 20 * 8.0)
    with time_limit(13.0) as tracker:
        with as_part(0, 20, 100, "choosing"):
            clock.work(4, 2.0)
        with pytest.raises(TimeLimitReached), as_part(20, 20, 100, "choosing"):
            clock.work(4, 2.0)
    assert clock.now == pytest.approx(16.0 + 14.0)
    assert tracker.span[-1][1:] == (20 + 20 * 3 / 4, 100)


def test_the_deadline_of_an_enclosing_limit_holds(clock: Clock) -> None:
    with time_limit(2.5), pytest.raises(TimeLimitReached), time_limit(60):
        clock.work(100, 1.0)
    assert clock.now == 3.0
    with time_limit(aim=9.0), time_limit(enough=5.0):
        assert [progress.seconds_to_aim(enough) for enough in (False, True)] == [9.0, 5.0]


def test_a_loop_that_says_its_length_first_is_stopped_after_a_step(clock: Clock) -> None:
    with time_limit(0.0) as tracker:
        clock.now += 1.0
        report_progress(0, 40, "work")  # no work was done, so it may begin
        assert (tracker.total, tracker.seconds_remaining) == (40, None)
        clock.now += 5.0
        with pytest.raises(TimeLimitReached):
            report_progress(1, 40, "work")


def test_a_fit_is_given_up_where_it_would_end_far_too_late(clock: Clock) -> None:
    """And what it would have taken is known; other work answers rows until the end."""
    with pytest.raises(TimeLimitReached) as end, time_limit(600), time_limit(fits=True):
        clock.work(200, 10.0)
    assert clock.now == 200  # a tenth was done
    assert end.value.needed == pytest.approx(2000)
    with pytest.raises(TimeLimitReached) as end, time_limit(600):
        clock.work(200, 10.0)
    assert clock.now == 200 + 610
    assert end.value.needed is None


def test_a_fit_that_may_still_end_in_time_goes_on(clock: Clock) -> None:
    with time_limit(600), time_limit(fits=True):
        clock.work(60, 10.0)
    with pytest.raises(TimeLimitReached) as end, time_limit(1700), time_limit(fits=True):
        clock.work(200, 10.0)  # 2,000 seconds; a forecast may err by that much at first
    assert 600 + 700 < clock.now < 600 + 1600
    assert end.value.needed == pytest.approx(2000)


def test_a_short_fit_is_not_given_up_before_its_deadline(clock: Clock) -> None:
    with pytest.raises(TimeLimitReached), time_limit(20), time_limit(fits=True):
        clock.work(100, 1.0)
    assert clock.now == 21


def converge(clock: Clock, passes: int) -> None:
    for done in range(1, passes):
        clock.now += 0.5
        report_progress(done, 1000, "logistic fit", at_most=True)


def test_a_loop_that_may_end_at_any_step_is_not_given_up_for_its_most_steps(clock: Clock) -> None:
    """A logistic fit that converges after 150 of 1,000 passes would else have been."""
    with time_limit(120), time_limit(fits=True):
        converge(clock, 150)
    with pytest.raises(TimeLimitReached) as end, time_limit(120), time_limit(fits=True):
        converge(clock, 999)
    assert end.value.needed is None, "how long it would have taken is unknown"


def test_a_fit_may_report_a_loop_of_no_steps(clock: Clock) -> None:
    with time_limit(20), time_limit(fits=True):
        report_progress(0, 0, "nothing to embed")
