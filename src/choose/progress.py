"""How far a long piece of work is, and when it has to stop."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from math import inf
from time import perf_counter


class OutOfTime(Exception):
    """Work was stopped in the middle, because its time was over."""


@dataclass
class Meter:
    """Follows the loop in hand from the outside.

    Attributes:
        end: when to stop (`perf_counter`).
        least: reports of a loop before it is stopped.
        reports: how many the loop in hand has made.
        began: when the work began.
        loop: the name of the loop in hand.
        seen: (when, done, total) at the first and at the last report of the loop in hand.
    """

    end: float
    least: int = 1
    reports: int = 0
    loop: str = ""
    began: float = field(default_factory=perf_counter)
    seen: tuple[tuple[float, float, float], ...] = ()

    def note(self, done: float, total: float, loop: str) -> None:
        """Note how far the loop in hand is.

        Raises:
            OutOfTime: if the time is over and something of the loop is left.
        """
        now = perf_counter()
        if loop != self.loop or done <= self.seen[-1][1] or total != self.seen[-1][2]:
            self.loop, self.seen, self.reports = loop, ((now, done, total),), 0
        else:
            self.seen = (self.seen[0], (now, done, total))
        self.reports += 1
        if now > self.end and done < total and self.reports >= self.least:
            raise OutOfTime

    @property
    def total(self) -> float:
        """Return the length of the loop in hand in its own unit."""
        return self.seen[-1][2] if self.seen else 0.0

    @property
    def left(self) -> float | None:
        """Return seconds that the loop in hand has to go at the pace seen; None without a loop."""
        if not self.seen:
            return None
        (first, done, total), (now, at, _) = self.seen[0], self.seen[-1]
        # What comes before a first report also sets things up; without a second there is no better.
        since, made = (first, done) if at > done else (self.began, 0.0)
        return (total - at) * (now - since) / (at - made)


_meter: ContextVar[Meter | None] = ContextVar("meter", default=None)


def went(done: float, total: float, loop: str) -> None:
    """Report from a long loop how much of it is done, in any unit; call it after every step.

    `loop` names it, since one fit may be several. Without anybody to hear it, it does
    nothing.

    Raises:
        OutOfTime: if there is no time for the next step. Let it pass.
    """
    meter = _meter.get()
    if meter is not None:
        meter.note(done, total, loop)


def seconds_left() -> float:
    """Return the seconds until work that reports nothing has to stop; infinite without a meter.

    It is never below zero. Stops set further out count; no number of reports is waited for.
    """
    meter = _meter.get()
    return inf if meter is None else max(0.0, meter.end - perf_counter())


@contextmanager
def metered(seconds: float = inf, least: int = 1) -> Iterator[Meter]:
    """Follow the work inside, and stop it at its next report after so many seconds.

    The loop that is stopped has reported at `least` so many times. A stop that was set around this
    one still holds, to that many reports.
    """
    outer = _meter.get()
    meter = Meter(min(perf_counter() + seconds, outer.end if outer else inf), least)
    token = _meter.set(meter)
    try:
        yield meter
    finally:
        _meter.reset(token)
