"""The decision proper: superiority, equivalence, and what to use meanwhile.

A candidate is adopted if it beats every cheaper one (lower bound of the gain above 0, estimate at
or above the margin) and no dearer one is left that could beat it by the margin (upper bound of
the gain below the margin). At most one candidate can satisfy both. Since it must pass every
comparison, no adjustment for their number is needed: a wrong adoption needs the luck to last
through all of them. What falls short of this is undecided, never "equal".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import exp, hypot, pi, sqrt
from typing import Literal, NamedTuple

from scipy.special import ndtr

from choose.judge.decision.contenders import Field
from choose.judge.panel.pairs import Pairs
from choose.schema.base import Interval

# Standard deviation of true differences between candidates, as a fraction of the rows.
SPREAD = 0.1


# Half the width of a normal 95 % interval in standard errors; few repetitions widen an interval
# beyond its standard error, and here they count as if the error were that much larger.
Z = 1.96


class Law(NamedTuple):
    """A normal law of what a true difference may be."""

    mean: float
    sd: float

    def excess(self, margin: float) -> float:
        """Return the expected part of the difference that lies above the margin."""
        z = (self.mean - margin) / self.sd
        return float(self.sd * (exp(-z * z / 2) / sqrt(2 * pi) + z * ndtr(z)))

    def below(self, margin: float) -> float:
        """Return the chance that the difference is below the margin."""
        return float(ndtr((margin - self.mean) / self.sd))


def least_loss(
    pairs: Pairs,
    names: Sequence[str],
    accuracies: Mapping[str, Interval],
    margin: Callable[[str, str], float],
) -> str:
    """Return the candidate of least expected loss, the cheaper of equals.

    Args:
        pairs: differences between candidates.
        names: the candidates, cheapest first.
        accuracies: of the candidates, for those that share no row.
        margin: the smallest gain of the dearer of two that matters.
    """

    def loss(place: int) -> float:
        name = names[place]
        over = (
            law_of(pairs, other, name, accuracies).excess(margin(other, name)) for other in names
        )
        needless = (
            margin(name, c) * law_of(pairs, name, c, accuracies).below(margin(name, c))
            for c in names[:place]
        )
        return max(over) + max(needless, default=0.0)

    return names[min(range(len(names)), key=loss)]


def law_of(pairs: Pairs, a: str, b: str, accuracies: Mapping[str, Interval]) -> Law:
    """Return what accuracy of a minus b may truly be."""
    if a == b:
        return Law(0.0, 1e-9)
    found = pairs.difference(a, b)
    if found is not None:
        value, error = found.value, (found.high - found.low) / (2 * Z)
    else:
        value = accuracies[a].value - accuracies[b].value
        error = hypot(_error(accuracies[a]), _error(accuracies[b]))
    kept = SPREAD**2 / (SPREAD**2 + error**2)
    return Law(kept * value, max(sqrt(kept) * error, 1e-9))


def _error(interval: Interval) -> float:
    assert interval.low is not None
    assert interval.high is not None
    return (interval.high - interval.low) / (2 * Z)


Target = Literal["met", "missed", "open", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What is decided, before it is put into words.

    Attributes:
        chosen: the candidate shown to be the right one, or None.
        meanwhile: the candidate to use until more is known; the chosen one if there is one.
        rivals: candidates that keep the question open, the most promising first.
        target: whether the chosen or meanwhile candidate reaches the study's target.
        reachable: whether any candidate may reach it.
    """

    chosen: str | None
    meanwhile: str
    rivals: tuple[str, ...]
    target: Target
    reachable: bool


def settle(field: Field) -> Settlement:
    """Decide."""
    chosen = next((name for name in field.names if _adoptable(field, name)), None)
    meanwhile = chosen or least_loss(field.pairs, _usable(field), field.accuracies, field.margin)
    target = field.rule.target
    reachable = target is None or any(
        (interval.high or 0) >= target for interval in field.accuracies.values()
    )
    return Settlement(
        chosen=chosen,
        meanwhile=meanwhile,
        rivals=() if chosen else _rivals(field, meanwhile),
        target=reaches(field.accuracies[meanwhile], target),
        reachable=reachable,
    )


def _usable(field: Field) -> Sequence[str]:
    """Return who may be used meanwhile: not the constant answer if any other gets more right.

    It costs nothing and is often within the margin where one label is common; and it finds none of
    the others.
    """
    constant = [n for n in field.names if field.panel[n].info.strategy == "majority"]
    floor = max((field.accuracies[n].value for n in constant), default=0.0)
    if all(field.accuracies[n].value <= floor for n in field.names):
        return field.names
    return [name for name in field.names if name not in constant]


def reaches(accuracy: Interval, target: float | None) -> Target:
    """Say whether an accuracy reaches a target with its whole interval."""
    if target is None:
        return "none"
    assert accuracy.low is not None
    assert accuracy.high is not None
    if accuracy.low >= target:
        return "met"
    return "missed" if accuracy.high < target else "open"


def _adoptable(field: Field, name: str) -> bool:
    beats = all(field.relation(name, cheaper) == "better" for cheaper in field.cheaper(name))
    return beats and all(_cannot_gain(field, dearer, name) for dearer in field.dearer(name))


def _cannot_gain(field: Field, a: str, b: str) -> bool:
    return field.relation(a, b) in ("equivalent", "worse", "not better")


def _rivals(field: Field, name: str) -> tuple[str, ...]:
    """Return who keeps `name` from being adopted: cheaper and not beaten, dearer and not out."""
    rivals = [n for n in field.cheaper(name) if field.relation(name, n) != "better"]
    rivals += [n for n in field.dearer(name) if not _cannot_gain(field, n, name)]
    rivals = rivals or [n for n in field.names if n != name]
    return tuple(sorted(rivals, key=lambda n: -field.accuracies[n].value))
