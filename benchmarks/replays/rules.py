"""Rules of thumb that the judge is held against; each sees what the judge sees."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from choose.schema.base import Interval
from choose.schema.decision import Decision

# Normal quantile by which the half width of a 95 % interval is turned into a standard error.
Z = 1.96


@dataclass(frozen=True)
class Seen:
    """What a rule may look at: the candidates, cheapest first, and their measured accuracies."""

    names: Sequence[str]
    accuracy: Mapping[str, Interval]


Choose = Callable[[Seen], str | None]


def seen(found: Decision, names: Sequence[str]) -> Seen:
    """Return what a decision shows to everybody."""
    return Seen(names, {c.candidate: c.accuracy for c in found.scorecards if c.accuracy})


def highest(what: Seen) -> str:
    """Return the highest score, the cheapest of equals."""
    return max(what.names, key=lambda name: what.accuracy[name].value)


def one_error(what: Seen) -> str:
    """Return the cheapest within a standard error of the highest score."""
    best = what.accuracy[highest(what)]
    assert best.low is not None
    assert best.high is not None
    floor = best.value - (best.high - best.low) / (2 * Z)
    return next(name for name in what.names if what.accuracy[name].value >= floor)


def always(name: str) -> Choose:
    """Return the rule that takes one candidate, whatever the figures; None where it is missing."""
    return lambda what: name if name in what.names else None


RULES: dict[str, Choose] = {
    "highest score": highest,
    "one standard error": one_error,
    "always fine-tune": always("lora"),
    "always prompt": always("prompt"),
    "always retrieve": always("retrieval"),
    "always probe": always("probe"),
}
