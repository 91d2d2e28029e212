"""The decision: first which family, then which member of it.

The families are baseline, prompting, retrieval and fine-tuning; each is represented by its best
member, with the selection of that member counted. A family is adopted if it beats every cheaper
one (lower bound of the gain above 0, estimate at or above the margin) and no costlier one can beat
it by the margin (upper bound of the gain below the margin). At most one family satisfies both. It
must pass every comparison, so their number needs no correction: a wrong adoption needs an error in
all of them. Otherwise the comparison is undecided, never "equal".

Constant answers are the floor, which the adopted family must beat, and no rivals. The member that
is named is that of least expected loss. Members that the evidence cannot separate never leave the
question open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from choose.judge.decision.contenders import Contenders, Relation, relation
from choose.judge.scores.family_comparison import FamilyComparison, compare_families
from choose.judge.scores.joint_distribution import least_loss
from choose.judge.stats.paired import Difference, smallest_detectable_gain
from choose.schema.base import Interval
from choose.schema.diagnosis import Audit, ErrorOverlap, Failures
from choose.schema.plan import UNPAID, LeftOut
from choose.schema.reading_documents import DocumentDrill, LossSplit
from choose.schema.score_names import Words
from choose.types import Family

Target = Literal["met", "missed", "open", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which candidate is adopted or used in the interim, and what keeps the question open.

    Attributes:
        chosen: the adopted candidate, or None.
        interim: the candidate to use until more is known; the adopted one if there is one.
        rivals: the best members of the families that keep the question open, and constant answers
            that are not beaten; the most accurate first.
        near: members of the same family that are not shown to be behind, the best first.
        target: whether the interim candidate reaches the study's target.
        reachable: whether any candidate may reach it.
    """

    chosen: str | None
    interim: str
    rivals: tuple[str, ...]
    near: tuple[str, ...]
    target: Target
    reachable: bool


def select(contenders: Contenders) -> Selection:
    """Adopt the member of a family, or choose that of the family of least expected loss."""
    chosen = _standing_floor(contenders) or next(
        (contenders.named[family] for family in contenders.families if _wins(contenders, family)),
        None,
    )
    interim = chosen or _interim(contenders)
    target = contenders.rule.target
    reachable = target is None or any(
        (interval.high or 0) >= target for interval in contenders.accuracies.values()
    )
    return Selection(
        chosen=chosen,
        interim=interim,
        rivals=() if chosen else _rivals(contenders, interim),
        near=_near(contenders, interim),
        target=target_status(contenders.accuracies[interim], target),
        reachable=reachable,
    )


def _interim(contenders: Contenders) -> str:
    """Return what to use while the question is open: of the family of least expected loss.

    With one common label a constant answer is often within the margin, but it never gives another;
    so it is used only where no candidate is more accurate.
    """
    floor = max(contenders.constants, key=lambda n: contenders.accuracies[n].value, default=None)
    families = {contenders.best[family]: family for family in contenders.families}
    if floor and all(_lead(contenders, best, floor) <= 0 for best in families):
        return floor
    named = sorted(contenders.named.values(), key=contenders.names.index)
    return least_loss(contenders.distribution, named, contenders.margin)


def target_status(accuracy: Interval, target: float | None) -> Target:
    """Say whether the whole interval of an accuracy reaches a target."""
    if target is None:
        return "none"
    assert accuracy.low is not None
    assert accuracy.high is not None
    if accuracy.low >= target:
        return "met"
    return "missed" if accuracy.high < target else "open"


def _standing_floor(contenders: Contenders) -> str | None:
    """Return the constant answer over which no candidate can gain the margin, if there is one."""
    readers = [name for name in contenders.names if name not in contenders.constants]
    for name in contenders.constants:
        if all(_cannot_gain(contenders.relation(n, name)) for n in readers):
            return name
    return None


def _wins(contenders: Contenders, family: Family) -> bool:
    """Return whether a family is shown to be the one to use, and to beat the floor."""
    return not _floors(contenders, contenders.named[family]) and all(
        settled(contenders, family, other) for other in contenders.families if other != family
    )


def _floors(contenders: Contenders, name: str) -> list[str]:
    """Return the constant answers that a candidate is not shown to beat."""
    return [c for c in contenders.constants if contenders.relation(name, c) != "better"]


def settled(contenders: Contenders, family: Family, other: Family) -> bool:
    """Return whether the first of two families is shown to be the one to use.

    It must beat the other if that costs less; if that costs more, the other cannot gain the margin.
    The best members are compared, with the selection of both counted.
    """
    shown = family_relation(contenders, other, family)
    costlier = contenders.named[other] in contenders.costlier(contenders.named[family])
    return _cannot_gain(shown) if costlier else shown == "worse"


def family_relation(contenders: Contenders, a: Family, b: Family) -> Relation:
    """Classify what is shown of the best of family a against the best of b."""
    match = contenders.versus(a, b)
    margin = contenders.margin(contenders.named[a], contenders.named[b])
    return relation(match.difference, margin) if match else "open"


def _cannot_gain(shown: Relation) -> bool:
    return shown in ("equivalent", "worse", "not better")


def _rivals(contenders: Contenders, name: str) -> tuple[str, ...]:
    """Return what bars `name`: families not settled, and the floor."""
    if name in contenders.constants:
        costlier = contenders.costlier(name)
        rivals = [n for n in costlier if not _cannot_gain(contenders.relation(n, name))]
        return tuple(sorted(rivals, key=lambda n: -_lead(contenders, n, name)))
    own = contenders.family(name)
    ahead: dict[str, float] = {}
    for other in contenders.families:
        if other != own and not settled(contenders, own, other):
            match = contenders.versus(other, own)
            ahead[match.a if match else contenders.named[other]] = (
                match.difference.value if match else 0.0
            )
    found = (*sorted(ahead, key=lambda n: -ahead[n]), *_floors(contenders, name))
    return tuple(dict.fromkeys(found))


def _near(contenders: Contenders, name: str) -> tuple[str, ...]:
    """Return the members of the same family that may be as accurate, the best first."""
    if name in contenders.constants:
        return ()
    others = [n for n in contenders.families[contenders.family(name)] if n != name]
    near = [n for n in others if (gap := contenders.gain(n, name)) is None or gap.high > 0]
    return tuple(sorted(near, key=lambda n: -_lead(contenders, n, name)))


def _lead(contenders: Contenders, a: str, b: str) -> float:
    difference = contenders.gain(a, b)
    return difference.value if difference else -1.0


def deciding_difference(contenders: Contenders, selection: Selection) -> Difference | None:
    """Return the difference of the deciding rival over the interim candidate.

    Between families it is that of their best members, with the selection counted.
    """
    other = deciding_rival(contenders, selection)
    if other is None:
        return None
    families = contenders.family(other), contenders.family(selection.interim)
    constant = {other, selection.interim} & {*contenders.constants}
    if families[0] == families[1] or constant:
        return contenders.gain(other, selection.interim)
    match = contenders.versus(*families)
    return match.difference if match else None


def deciding_rival(contenders: Contenders, selection: Selection) -> str | None:
    """Return the first rival; else the best of the closest family; else the closest candidate."""
    if selection.rivals:
        return selection.rivals[0]
    name = selection.interim
    own = contenders.family(name)
    matches = [m for f in contenders.families if f != own and (m := contenders.versus(f, own))]
    if matches and name not in contenders.constants:
        return max(matches, key=lambda match: match.difference.value).a
    others = [n for n in contenders.names if n != name]
    return max(others, key=lambda n: _lead(contenders, n, name), default=None)


@dataclass(frozen=True)
class Case:
    """The decided contenders with the diagnosis, as gates and sentences need them.

    `written` tells whether answers are free texts; `left_out` was planned and not measured; no
    document is known to hold the answers of the questions `unanswered`; `long_answers` is the
    median number of words of right answers where these are texts, None where they are a few words.
    """

    contenders: Contenders
    selection: Selection
    audit: Audit | None = None
    failures: Failures | None = None
    overlap: ErrorOverlap | None = None
    splits: tuple[LossSplit, ...] = ()
    without_evidence: Interval | None = None
    written: bool = False
    left_out: tuple[LeftOut, ...] = ()
    unanswered: tuple[str, ...] = ()
    drill: DocumentDrill | None = None
    long_answers: float | None = None

    @property
    def name(self) -> str:
        """Return the candidate that is adopted, or used in the interim."""
        return self.selection.interim

    @property
    def noun(self) -> str:
        """Return what a score is a percentage of, by the study's metric."""
        return self.contenders.rule.measure.noun

    @property
    def words(self) -> Words:
        """Return the words for answers that are labels, or texts."""
        return self.contenders.words

    @property
    def margin(self) -> float:
        """Return the smallest gain that matters between candidates of equal cost."""
        return self.contenders.rule.margin

    @cached_property
    def cannot_win(self) -> dict[str, str]:
        """Return why candidates cannot win by memorising, by their names."""
        return {one.candidate: one.text for one in self.left_out if one.reason == "closed-book"}

    @cached_property
    def unpaid(self) -> frozenset[str]:
        """Return the candidates that a higher --max-usd would let go on."""
        return frozenset(one.candidate for one in self.left_out if one.reason in UNPAID)

    @cached_property
    def long_fits(self) -> dict[str, float]:
        """Return forecast seconds of fits that the last budget could not hold, by candidate."""
        fits = (one for one in self.left_out if one.reason == "too-long")
        return {one.candidate: one.seconds for one in fits if one.seconds is not None}

    @cached_property
    def deciding_margin(self) -> float:
        """Return the smallest gain that matters in the comparison that decides."""
        other = deciding_rival(self.contenders, self.selection)
        return self.contenders.margin(other, self.name) if other else self.margin

    @cached_property
    def detectable(self) -> float | None:
        """Return the gain that the deciding comparison detects with 80 % power.

        The number of runs limits it as much as the number of rows.
        """
        return self._detects(run_variance=True)

    @cached_property
    def detectable_by_rows(self) -> float | None:
        """Return the gain that these rows would detect if all runs were alike."""
        return self._detects(run_variance=False)

    def _detects(self, run_variance: bool) -> float | None:
        difference = deciding_difference(self.contenders, self.selection)
        if difference is None:
            return None
        variance = difference.error.second / difference.largest**2 if run_variance else 0.0
        gain = smallest_detectable_gain(
            difference.independent * difference.rows,
            difference.discordance,
            repetition_variance=variance,
        )
        return gain * difference.largest if gain is not None else None

    @property
    def family(self) -> Family:
        """Return the family that is adopted, or used in the interim."""
        return self.contenders.family(self.name)

    def versus(
        self, families: Sequence[Family], others: Sequence[Family]
    ) -> FamilyComparison | None:
        """Compare the best of some families with the best of others."""
        sides = [
            [m for m in self.contenders.order if m.info.family in part]
            for part in (families, others)
        ]
        return compare_families(self.contenders.pairs, sides[0], sides[1])
