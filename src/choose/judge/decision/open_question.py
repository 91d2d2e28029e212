"""What is still open between families, and the chance that the rest of a study changes it.

More answers move an estimate and narrow its interval. With v the variance of the error now and w
that at the end of the grid, the final estimate is normal around the present one with variance
v - w (a Brownian motion with a flat prior), so the chance that the comparison then shows the same
as now is known before anything is spent. A comparison that shows
which of the two is the one to use is certain where this chance is at least `CERTAIN`; one that does
not is open until nothing is left to measure.

Stopping there is stochastic curtailment (Lan, Simon and Halperin 1982), by the predictive chance
(Spiegelhalter, Freedman and Blackburn 1986). After any part of the grid it takes about three
standard errors, as in the rule of Haybittle and Peto, instead of the two that suffice at the end.
With looks after each of five folds, a gain of exactly the margin is said to be smaller in 2.65 % of
studies instead of 2.5 %.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import sqrt
from typing import NamedTuple

from scipy.special import ndtr

from choose.judge.decision.chance import chances_of
from choose.judge.decision.contenders import Contenders, contenders_of
from choose.judge.decision.rule import select
from choose.judge.evidence import Evidence
from choose.judge.goal import Rule
from choose.judge.scores.score_tables import study_scores
from choose.judge.stats.paired import Difference
from choose.types import Family

CERTAIN = 0.99

# Half the width of a normal 95 % interval in standard errors.
Z = 1.96


class Whole(NamedTuple):
    """What the whole grid would measure of a candidate: test rows, and repetitions of them."""

    rows: int
    repetitions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A candidate of another family, or a constant answer, against the candidate that is named.

    Attributes:
        candidate: the other one.
        family: its family.
        change: chance that the rest of the trials would change what is shown of the two.
        floor: whether it is a constant answer, which what is recommended must beat.
    """

    candidate: str
    family: Family
    change: float
    floor: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenQuestion:
    """The candidate that is named now, and what keeps the question open which family it is.

    Attributes:
        named: the candidate that is recommended, or used while the question is open.
        family: its family.
        final: whether it is recommended, by any target that was set, so that the verdict may be
            final.
        open: comparisons that may still change, the likeliest first.
        near: members of the named family that may be as accurate.
    """

    named: str
    family: Family
    final: bool
    open: tuple[Comparison, ...] = ()
    near: tuple[str, ...] = ()

    @property
    def candidates(self) -> tuple[str, ...]:
        """Return the named candidate and those that may still take its place."""
        return (self.named, *(one.candidate for one in self.open))


def open_question(
    evidence: Evidence, rule: Rule, whole: Mapping[str, Whole]
) -> OpenQuestion | None:
    """Return what is open; None where no candidate answered a row.

    Args:
        evidence: what was measured so far.
        rule: of the study.
        whole: by candidate what the whole grid would measure.
    """
    scores = study_scores(evidence, rule.measure)
    if not scores.scored:
        return None
    return _Question(contenders_of(scores, rule), whole).answer()


class Prospect(NamedTuple):
    """A gain over the named candidate: estimate, half width now and at the end, and the margin.

    `costlier` tells whether the other candidate is the costlier of the two.
    """

    value: float
    half: float
    final: float
    margin: float
    costlier: bool

    def shown(self, value: float, half: float) -> str:
        """Return what an interval shows: which of the two is the one to use, or neither."""
        gain, low, high = value, value - half, value + half
        if not self.costlier:  # seen from the named candidate, which is the costlier of the two
            gain, low, high = -value, -high, -low
        wins = low > 0 and gain >= self.margin
        return "costlier" if wins else "cheaper" if high < self.margin else "open"

    @property
    def change(self) -> float:
        """Return the chance that the end shows something else than now, or prefers another."""
        spread = sqrt(max((self.half / Z) ** 2 - (self.final / Z) ** 2, 0.0))
        if spread == 0:
            return 0.0
        gain = self.value if self.costlier else -self.value
        up, down = max(self.margin, self.final), self.margin - self.final
        costlier, cheaper = ndtr((gain - up) / spread), ndtr((down - gain) / spread)
        now = self.shown(self.value, self.half)
        if now == "open":
            turned = ndtr(-abs(gain - self.margin) / spread)
            return float(min(1.0, max(costlier + cheaper, turned, 1 - CERTAIN)))
        return float(1.0 - (costlier if now == "costlier" else cheaper))


@dataclass(frozen=True)
class _Question:
    contenders: Contenders
    whole: Mapping[str, Whole]

    def answer(self) -> OpenQuestion:
        chances = chances_of(self.contenders, self.contenders.unmeasured)
        selection = select(self.contenders, chances)
        own = self.contenders.family(selection.interim)
        reads = selection.interim not in self.contenders.floors
        found = [
            one
            for family in self.contenders.families
            if not (reads and family == own)
            for one in self._comparisons(family, selection.interim)
        ]
        found += self._floors(selection.interim) if reads else ()
        found.sort(key=lambda one: -one.change)
        return OpenQuestion(
            named=selection.interim,
            family=own,
            final=selection.chosen is not None and selection.target in ("none", "met"),
            open=tuple(found),
            near=selection.near,
        )

    def _comparisons(self, family: Family, named: str) -> Iterator[Comparison]:
        """Yield the members of a family whose trials may change what is shown of the family.

        Families are compared by their best members, and the interval counts that selection; so the
        best member matters at least as much as the family.
        """
        best = self.contenders.best[family]
        change = self._family_change(family, named)
        if change < 1 - CERTAIN:
            return
        for name in self.contenders.families[family]:
            own = self._change(name, named, self.contenders.gain(name, named))
            own = max(own, change) if name == best else own
            if own >= 1 - CERTAIN:
                yield Comparison(candidate=name, family=family, change=own)

    def _floors(self, named: str) -> Iterator[Comparison]:
        """Yield the constant answers of which the rest may change whether they are beaten."""
        contenders = self.contenders
        for name in contenders.floors:
            change = 1.0
            if gain := contenders.gain(named, name):
                half = (gain.high - gain.low) / 2
                final = half * sqrt(self._remaining(name, named, gain))
                margin = contenders.margin(named, name)
                change = Prospect(gain.value, half, final, margin, costlier=True).change
            if change >= 1 - CERTAIN:
                family = contenders.family(name)
                yield Comparison(candidate=name, family=family, change=change, floor=True)

    def _family_change(self, family: Family, named: str) -> float:
        contenders = self.contenders
        if named in contenders.floors:
            best = contenders.best[family]
            return self._change(best, named, contenders.gain(best, named))
        match = contenders.versus(family, contenders.family(named))
        if match is None:
            return 1.0
        return self._change(match.a, named, match.difference)

    def _change(self, name: str, named: str, gain: Difference | None) -> float:
        if gain is None:
            return 1.0
        half = (gain.high - gain.low) / 2
        share = self._remaining(name, named, gain)
        costlier = name in self.contenders.costlier(named)
        margin = self.contenders.margin(name, named)
        return Prospect(gain.value, half, half * sqrt(share), margin, costlier).change

    def _remaining(self, name: str, named: str, gain: Difference) -> float:
        """Return the share of the variance that stays once all planned trials have run.

        The part of the rows falls with their number, that of the fits with the repetitions of the
        side that has the most to come.
        """
        sides = [self.whole[one] for one in (name, named) if one in self.whole]
        rows = min([self._most_rows, *(side.rows for side in sides)])
        by_rows = min(1.0, gain.rows / rows) if rows else 1.0
        done = [self.contenders.panel[one].repetitions for one in (name, named)]
        planned = [self.whole[one].repetitions if one in self.whole else 0 for one in (name, named)]
        by_runs = min(
            (max(n, 1) / p for n, p in zip(done, planned, strict=True) if p > n), default=1.0
        )
        return (1 - gain.run_share) * by_rows + gain.run_share * min(1.0, by_runs)

    @cached_property
    def _most_rows(self) -> int:
        return len(self.contenders.panel.rows.targets)
