"""Cooperative progress reports and time limits for long loops."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from math import inf
from time import perf_counter

# A fit is given up where it is forecast to end too late, once this share of it is done and so many
# seconds have passed: set-up and the first steps say little of the pace.
GIVE_UP_SHARE, GIVE_UP_SECONDS = 0.1, 30.0


class TimeLimitReached(Exception):
    """Stop a loop whose time limit has passed. Do not catch it in a strategy.

    Attributes:
        needed: forecast seconds of the fit that was stopped; None where they are not known.
    """

    def __init__(self, needed: float | None = None) -> None:
        super().__init__()
        self.needed = needed


@dataclass
class LoopProgress:
    """Progress of the current loop inside a time limit.

    Attributes:
        deadline: when to stop, as a `perf_counter` reading.
        fits: whether the work is a fit, of which nothing is left if it does not end in time.
        aim: when a fit should have ended, as a `perf_counter` reading: it may make fewer steps.
        enough: the same, of one that has read enough rows by then.
        started: when the work started, as a `perf_counter` reading.
        loop: the name of the current loop.
        begun: when the current loop began, as far as reports tell.
        span: (when, done, total) at the first and at the latest report of the current loop.
    """

    deadline: float
    fits: bool = False
    aim: float = inf
    enough: float = inf
    loop: str = ""
    started: float = field(default_factory=perf_counter)
    begun: float = 0.0
    span: tuple[tuple[float, float, float], ...] = ()

    def update(self, done: float, total: float, loop: str, at_most: bool = False) -> None:
        """Record a report, of a loop that may also end before its `total` if `at_most`.

        Raises:
            TimeLimitReached: if the loop has begun and is not complete, and the deadline has passed
                or a fit is forecast to end far too late.
        """
        now = perf_counter()
        if loop != self.loop or done <= self.span[-1][1] or total != self.span[-1][2]:
            before = self.span[-1][0] if self.span else self.started
            self.begun = before if done > 0 else now
            self.loop, self.span = loop, ((now, done, total),)
        else:
            # The first step includes set-up, so the pace is that of the steps after it.
            first = self.span[0] if self.span[0][1] > 0 else (now, done, total)
            self.span = (first, (now, done, total))
        if not 0 < done < total:
            return
        forecast = self.fits and not at_most
        if now > self.deadline or (forecast and self._too_slow(now, done / total)):
            remaining = self.seconds_remaining if forecast else None
            raise TimeLimitReached(None if remaining is None else now - self.started + remaining)

    def _too_slow(self, now: float, share: float) -> bool:
        """Return whether the rest would end after the deadline even if the forecast errs."""
        if share < GIVE_UP_SHARE or now - self.started < GIVE_UP_SECONDS:
            return False
        return (self.seconds_remaining or 0.0) > (1.5 - share / 2) * (self.deadline - now)

    @property
    def total(self) -> float:
        return self.span[-1][2] if self.span else 0.0

    @property
    def seconds_remaining(self) -> float | None:
        """Extrapolate the seconds until the current loop ends; None before its first step.

        The time before the first report includes set-up, so it counts only if it is all there is.
        """
        if not self.span or self.span[-1][1] <= 0:  # it may have said how long it is
            return None
        (first, done, _), (now, at, total) = self.span[0], self.span[-1]
        units, seconds = (at - done, now - first) if at > done else (at, now - self.begun)
        return (total - at) * seconds / units


_current: ContextVar[LoopProgress | None] = ContextVar("progress", default=None)

# What time has decided in a fit so far, how often it was asked for each, and what it decided when
# the same fit was made before.
_decided: ContextVar[tuple[dict[str, float], Counter[str], Mapping[str, float] | None] | None]
_decided = ContextVar("decided", default=None)


def decided_in_time(what: str, value: float, whole: float) -> float:
    """Return a number that the clock decides in a fit, such as the steps of a schedule.

    Everything in a fit that depends on its speed goes through here, so that it can be made again
    alike: then this is the number of that time.

    `what` names the decision within the fit; one that is taken again counts for itself. The time
    allows `value`; with more time it would be `whole`.
    """
    decided = _decided.get()
    if decided is None:
        return value
    made, asked, before = decided
    asked[what] += 1
    if asked[what] > 1:
        what = f"{what}, {asked[what]}"
    if before is not None:
        value = before.get(what, whole)
    if value < whole:
        made[what] = value
    return value


@contextmanager
def as_decided(before: Mapping[str, float] | None = None) -> Iterator[Mapping[str, float]]:
    """Note what time decides in a fit; `before` is what it decided where the fit is made again."""
    made: dict[str, float] = {}
    token = _decided.set((made, Counter(), before))
    try:
        yield made
    finally:
        _decided.reset(token)


def report_progress(done: float, total: float, loop: str, at_most: bool = False) -> None:
    """Report how much of a long loop is done, in any unit; call it after every step.

    A loop with long steps may also report 0 before the first: its length is then known at no cost.

    No-op unless a time limit is active. `loop` names the loop: one fit may run several. One that
    ends as soon as it has converged has `at_most` its `total`: no end is forecast from that.

    Raises:
        TimeLimitReached: if there is no time for the next step. Do not catch it.
    """
    progress = _current.get()
    if progress is not None:
        progress.update(done, total, loop, at_most)


def seconds_left() -> float:
    """Return the seconds until the innermost deadline: at least 0, infinite without a time limit.

    For work that cannot report progress, such as waiting for a server.
    """
    progress = _current.get()
    return inf if progress is None else max(0.0, progress.deadline - perf_counter())


def seconds_to_aim(enough: bool = False) -> float:
    """Return the seconds until a fit should have ended: at least 0, infinite without an aim.

    Training that can do with fewer steps shortens its schedule, so that it ends by then, which may
    be sooner where it has read `enough` rows.
    """
    progress = _current.get() or LoopProgress(inf)
    return max(0.0, (progress.enough if enough else progress.aim) - perf_counter())


@contextmanager
def time_limit(
    seconds: float = inf, fits: bool = False, aim: float = inf, enough: float = inf
) -> Iterator[LoopProgress]:
    """Stop the enclosed work at its first report after `seconds`, and track its progress.

    A loop does something before it is stopped. The deadline of an enclosing
    time limit still applies. A fit (`fits`) is stopped once it is clear that it ends too late; it
    should end within `aim` seconds, or `enough` where it has read enough rows.
    """
    outer = _current.get()
    now = perf_counter()
    deadline = min(now + seconds, outer.deadline if outer else inf)
    aim = min(now + aim, outer.aim if outer else inf)
    enough = min(now + enough, outer.enough if outer else inf)
    progress = LoopProgress(deadline, fits=fits, aim=aim, enough=enough, started=now)
    token = _current.set(progress)
    try:
        yield progress
    finally:
        _current.reset(token)


@contextmanager
def as_part(done: float, units: float, total: float, loop: str) -> Iterator[None]:
    """Report the work inside as `units` of a longer loop; loops inside have units of their own.

    Where the time ends within, what is done of the last loop inside tells how long all would take.
    """
    try:
        with time_limit() as inner:
            yield
    except TimeLimitReached:
        ended = units * inner.span[-1][1] / inner.total if inner.total else 0.0
        report_progress(done + ended, total, loop)
        raise
    if units:  # the same number twice would begin another loop
        report_progress(min(done + units, total), total, loop)
