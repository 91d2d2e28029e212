"""Shares over many studies, with Monte-Carlo intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from math import isnan, sqrt
from statistics import fmean, stdev
from typing import Any

from choose.judge.stats.intervals import wilson
from known_worlds.grading import Choice, Grade

LEVELS = ("high", "medium", "low")
KINDS = ("adopt", "baseline-is-enough", "none-works", "collect-labels", "fix-labels", "too-close")


@dataclass(frozen=True, slots=True)
class Share:
    """A share or mean over `count` studies with a 95 % Monte-Carlo interval; None over no study."""

    value: float | None
    low: float | None
    high: float | None
    count: int

    def text(self, scale: float = 100, digits: int = 1) -> str:
        """Return it as a report shows it."""
        if self.value is None:
            return "-"
        assert self.low is not None
        assert self.high is not None
        low, high = scale * self.low, scale * self.high
        return f"{scale * self.value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def share(hits: Sequence[bool]) -> Share:
    """Return how many of these are true."""
    if not hits:
        return Share(None, None, None, 0)
    low, high = wilson(sum(hits), len(hits))
    return Share(sum(hits) / len(hits), low, high, len(hits))


def mean(values: Sequence[float]) -> Share:
    """Return the mean of what is known."""
    known = [value for value in values if not isnan(value)]
    if len(known) < 2:
        return Share(None, None, None, len(known))
    half = 1.96 * stdev(known) / sqrt(len(known))
    middle = fmean(known)
    return Share(middle, middle - half, middle + half, len(known))


@dataclass(frozen=True, slots=True)
class Rule:
    """What one rule for choosing a candidate costs."""

    needless: Share
    excess: Share
    regret: Share


@dataclass(frozen=True, slots=True)
class Tally:
    """Everything that is reported of a world, or of all of them.

    `high_given` and `abstained` are over studies whose true gap is at least twice the detectable
    one, the first only over those whose plan does not bar high confidence. `fix_given` is over
    studies whose labels limit the best and that recommend nothing; `even`, `likely` and
    `recommends` are of what came of the test rows that verdicts ask for.
    """

    studies: int
    coverage: Share
    coverage_of_accuracy: Share
    false_winner: Share
    false_among_recommended: Share
    not_better: Share
    recommended: Share
    right_by_confidence: dict[str, Share]
    right_by_kind: dict[str, Share]
    right_recommending: Share
    right_open: Share
    given: dict[str, Share]
    high_given: Share
    high_given_of_all: Share
    abstained: Share
    meanwhile: Rule
    highest: Rule
    one_error: Rule
    fix_given: Share
    even: Share
    likely: Share
    recommends: Share
    skipped: int
    noise_covered: Share
    stored: int

    def record(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return asdict(self)


def tally(grades: Sequence[Grade]) -> Tally:
    """Count."""
    chosen = [g for g in grades if g.recommends]
    decisive = [g for g in grades if g.decisive]
    return Tally(
        studies=len(grades),
        coverage=mean([g.covered_pairs for g in grades]),
        coverage_of_accuracy=mean([g.covered_accuracies for g in grades]),
        false_winner=share([g.false_winner for g in grades]),
        false_among_recommended=share([g.false_winner for g in chosen]),
        not_better=share([g.not_better for g in grades]),
        recommended=share([g.recommends for g in grades]),
        right_by_confidence={
            level: share([g.right for g in grades if g.confidence == level]) for level in LEVELS
        },
        right_by_kind={k: share([g.right for g in grades if g.kind == k]) for k in KINDS},
        right_recommending=share([g.right for g in chosen]),
        right_open=share([g.right for g in grades if not g.recommends]),
        given={level: share([g.confidence == level for g in grades]) for level in LEVELS},
        high_given=share([g.confidence == "high" for g in decisive if g.may_be_high]),
        high_given_of_all=share([g.confidence == "high" for g in decisive]),
        abstained=share([not g.recommends and g.kind != "none-works" for g in decisive]),
        meanwhile=_rule(grades, lambda g: g.meanwhile),
        highest=_rule(grades, lambda g: g.highest),
        one_error=_rule(grades, lambda g: g.one_error),
        fix_given=share([g.kind == "fix-labels" for g in grades if g.limited and not g.recommends]),
        even=_known(g.more.even for g in grades),
        likely=_known(g.more.likely for g in grades),
        recommends=_known(g.more.recommends for g in grades),
        skipped=sum(g.more.skipped for g in grades),
        noise_covered=_known(g.noise_covered for g in grades),
        stored=sum(g.stored for g in grades),
    )


def _known(hits: Iterable[bool | None]) -> Share:
    return share([hit for hit in hits if hit is not None])


def _rule(grades: Sequence[Grade], of: Callable[[Grade], Choice]) -> Rule:
    choices = [of(grade) for grade in grades]
    return Rule(
        needless=share([c.needless for c in choices]),
        excess=mean([c.excess for c in choices]),
        regret=mean([c.regret for c in choices]),
    )
