"""The decision proper: superiority, equivalence, and what to use meanwhile.

A candidate is adopted if it beats every cheaper one (lower bound of the gain above 0, estimate at
or above the margin) and no dearer one is left that could beat it by the margin (upper bound of
the gain below the margin). At most one candidate can satisfy both. Since it must pass every
comparison, no adjustment for their number is needed: a wrong adoption needs the luck to last
through all of them. What falls short of this is undecided, never "equal".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from choose.judge.costs import cheapest_first
from choose.judge.forecasts import Curves
from choose.judge.margins import Margins, margins_of
from choose.judge.meanwhile import least_loss
from choose.judge.paired import Difference
from choose.judge.pairs import Pairs
from choose.judge.panel import Measured, Panel
from choose.judge.record import Interval
from choose.judge.regret import Outlook, outlook
from choose.judge.rule import Rule
from choose.judge.scorecards import accuracy

Relation = Literal["better", "equivalent", "worse", "not better", "open"]
Target = Literal["met", "missed", "open", "none"]


def relation(found: Difference | None, margin: float) -> Relation:
    """Say what an interval shows of a against b.

    ``better``: above 0 for certain, and by the margin as estimated. ``equivalent``: within the
    margin for certain. ``worse``: below 0 for certain, and by the margin as estimated. ``not
    better``: whatever it is, a does not gain the margin. ``open``: none of these.
    """
    if found is None:
        return "open"
    if found.low > 0 and found.value >= margin:
        return "better"
    if -margin < found.low and found.high < margin:
        return "equivalent"
    if found.high < 0 and found.value <= -margin:
        return "worse"
    return "not better" if found.high < margin else "open"


@dataclass(frozen=True)
class Field:
    """The candidates that may be recommended, cheapest first, with everything about them."""

    panel: Panel
    margins: Margins
    pairs: Pairs
    order: tuple[Measured, ...]
    accuracies: dict[str, Interval]

    @property
    def rule(self) -> Rule:
        """Return what the study states, with the margin between candidates that cost alike."""
        return self.margins.rule

    @cached_property
    def outlook(self) -> Outlook:
        """Return the chances and regrets of the candidates."""
        return outlook(self.panel.rows, self.order)

    @cached_property
    def curves(self) -> Curves:
        """Return the learning curves beyond the data."""
        return Curves(self.panel, self.rule)

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names, cheapest first."""
        return tuple(candidate.info.name for candidate in self.order)

    def gain(self, a: str, b: str) -> Difference | None:
        """Return accuracy of a minus accuracy of b."""
        return self.pairs.difference(a, b)

    def relation(self, a: str, b: str) -> Relation:
        """Say what is shown of a against b."""
        return relation(self.gain(a, b), self.margin(a, b))

    def margin(self, a: str, b: str) -> float:
        """Return the smallest gain of the dearer over the cheaper that matters."""
        return self.margins.between(a, b)

    def cheaper(self, name: str) -> tuple[str, ...]:
        """Return the candidates that cost less."""
        return self.names[: self.names.index(name)]

    def dearer(self, name: str) -> tuple[str, ...]:
        """Return the candidates that cost more."""
        return self.names[self.names.index(name) + 1 :]

    def family(self, name: str) -> str:
        """Return a candidate's family."""
        return self.panel[name].info.family

    @property
    def leader(self) -> str:
        """Return the candidate with the highest measured accuracy, the cheaper of equals."""
        return max(self.names, key=lambda name: self.accuracies[name].value)


def field_of(panel: Panel, rule: Rule) -> Field:
    """Gather the candidates that can be recommended.

    One with a failed trial in the main cell cannot be: its users would meet that failure. Where
    every candidate failed somewhere, those that answered anything are taken.
    """
    sound = [c for c in panel.scored if not c.failures] or list(panel.scored)
    margins = margins_of(sound, rule)
    totals = {name: bill.total(rule.deployment) for name, bill in margins.bills.items()}
    order = cheapest_first(sound, rule, totals)
    found = {c.info.name: interval for c in order if (interval := accuracy(c)) is not None}
    return Field(panel, margins, Pairs(panel), tuple(order), found)


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


def best_of(field: Field, families: Sequence[str]) -> str | None:
    """Return the candidate of these families with the highest measured accuracy."""
    among = [name for name in field.names if field.family(name) in families]
    return max(among, key=lambda name: field.accuracies[name].value, default=None)
