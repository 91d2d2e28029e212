"""The chance that a family is the one to use, given all answers so far.

The family to use is the cheapest whose best member is within the margin of the best of all: no
costlier one leads it by more, and it leads each cheaper one by the margin. It must do better than
every floor: an answer that reads nothing, which is never what to use. The chance of a family is the
share of the joint distribution of true scores in which it is that one; where no family beats the
floor, none is. Scores end at 1, so that who is right nearly everywhere cannot be led by much.

A family of which nothing was measured is in the distribution, too, as the prior and the scores of
the others leave it: its chance is never silently zero.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from choose.judge.decision.candidates import Candidates, select_candidates
from choose.judge.evidence import Evidence
from choose.judge.goal import Rule
from choose.judge.scores.joint_distribution import (
    NEAR,
    JointDistribution,
    Whole,
    joint_distribution,
    least_loss,
    losses_of,
    points_of,
)
from choose.judge.scores.paired_comparison import ASSUMED_SD
from choose.judge.scores.promised_score import promised_gains
from choose.judge.scores.score_tables import study_scores
from choose.schema.decision import LIKELY, SURE
from choose.types import FAMILIES, Family, Floats

Word = Literal["sure", "likely", "open"]

# A share of training recipes, and the rate of their fits that score like the floor. On known worlds
# in which every recipe is such a one, a false "sure" stays rare with this share.
LOST_SHARE, LOST_RATE = 0.12, 0.12

# Chance that a part of the passages, among which finding is easier, says nothing of all of them: no
# family has more than the rest by a part, so that a choice made on one is never sure.
UNSEEN = 0.1

# Of four families, the named one is right more often than a chance below `LIKELY` says. So it is
# stated by a straight line that starts at `LEAST`, fitted by log loss on 28 known worlds (tuning
# split) and four of seven real sets, each with the same weight. With fewer families it is stated as
# it is, and while labels may change a candidate that has a chance of `MAY_BE` or more.
LEAST, MAY_BE = 0.3, 0.02

# Points of the distribution of scores that are looked at for what may be said at an end.
POINTS = 256

# The rest of a study is worth its time if what is said changes in such a share of its ends.
MOVED = 0.1


def word_of(chance: float) -> Word:
    return "sure" if chance >= SURE else "likely" if chance >= LIKELY else "open"


def corrected(chances: Floats) -> Floats:
    """Return how chances of the family that is named are stated: more below `LIKELY`, as `LEAST`.

    It is monotone, and no word changes.
    """
    return np.maximum(chances, LEAST + (1 - LEAST / LIKELY) * chances)


class Outlook(NamedTuple):
    """What further answers are expected to say.

    Attributes:
        chance: of the family that is named then, as it is stated.
        loss: expected to be given up by using that one.
        removed: loss that is removed, by the same calculation.
        moved: share of the ends in which another family is named, or another word fits any family.
    """

    chance: float
    loss: float
    removed: float = 0.0
    moved: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Chances:
    """What all answers so far say of what to use.

    Attributes:
        named: the candidate of least expected loss, which is used now; where none is usable, the
            one of highest expected score; None where only floors answered.
        families: by family the chance that it is the one to use, which decides; `stated` is what is
            said. What is missing to 1 is the chance that no family beats the floor.
        candidates: by candidate the chance that its family is the one, and it the best of it; 0 for
            a floor. Those that answered nothing are in it.
        losses: by family the score expected to be given up by using it: its best member against
            that of the family to use.
        most: the score that is given up by using the named family in 95 of 100 cases at most.
        leads: by family how far its best member leads that of the named one, where it is the one.
        members: by family its member to use, or the first one where none answered a row.
        unmeasured: families of the study of which no member answered a row.
        usable: whether the named candidate does better than every floor, more likely than not.
        able: the members to use of families of which this is so.
        scores: by candidate that answered a row, its mean score on its rows.
        later: what the answers that are planned are expected to say; None where nothing is planned.
        learned: whether labels not yet learned from add no more doubt to a score than fits do.
    """

    named: str | None
    families: Mapping[Family, float]
    candidates: Mapping[str, float]
    losses: Mapping[Family, float] = field(default_factory=dict)
    most: float = 0.0
    leads: Mapping[Family, float] = field(default_factory=dict)
    members: Mapping[Family, str] = field(default_factory=dict)
    unmeasured: tuple[Family, ...] = ()
    usable: bool = False
    able: Sequence[str] = ()
    scores: Mapping[str, float] = field(default_factory=dict)
    later: Outlook | None = None
    learned: bool = True

    @property
    def family(self) -> Family | None:
        """Return the family of the named candidate; it may be a column of given answers."""
        return next((f for f, name in self.members.items() if name == self.named), None)

    @property
    def stated(self) -> Mapping[str, float]:
        """Return the chances of families as they are stated: that of the named one `corrected`.

        All others, and that of none, are lower in proportion; if fewer than four or not `learned`,
        all stay.
        """
        family, stated = self.family, dict[str, float](self.families.items())
        if family and self.learned and len(stated) == len(FAMILIES) and stated[family] < LIKELY:
            own = float(corrected(np.array(stated[family])))
            rest = (1 - own) / (1 - stated[family])
            stated = {f: own if f == family else rest * p for f, p in stated.items()}
        return stated

    @property
    def loss(self) -> float:
        """Return the score expected to be given up by using the named family."""
        return self.losses[self.family] if self.family else 0.0

    @property
    def worth_asking(self) -> bool:
        """Return whether the rest of the study may change what is said."""
        return self.later is not None and self.family is not None and self.later.moved >= MOVED


def chances(
    evidence: Evidence, rule: Rule, planned: Mapping[str, Whole] = MappingProxyType({})
) -> Chances | None:
    """Return the chances by the answers so far; None where no candidate answered a row.

    It reads and writes nothing else, and the same evidence gives the same chances. With 12
    candidates and 600 rows it takes less than 0.2 s.

    `planned` is by candidate the test rows and repetitions that it will have at the end, those that
    it has among them. A candidate that gets no further ones is left out.
    """
    scores = study_scores(evidence, rule.metric)
    if not scores.scored:
        return None
    return chances_of(select_candidates(scores, rule), planned)


def chances_of(
    candidates: Candidates, planned: Mapping[str, Whole] = MappingProxyType({})
) -> Chances:
    """Return the chances of all candidates, with those that answered nothing; see `chances`."""
    joint = joint_distribution(candidates.every, candidates.scores.rows, planned)
    question = _Question(candidates, joint)
    marks = {name: found.value for name, found in candidates.accuracies.items()}
    if not question.families:
        none = dict.fromkeys(joint.names, 0.0)
        return Chances(named=None, families={}, candidates=none, scores=marks)
    scores, weights = question.with_lost(*joint.points)
    best, families = question.best(scores), question.families
    one = question.one(scores, best)
    found = {f: float(weights @ (one == i)) for i, f in enumerate(families)}
    use = question.to_use(found)
    ahead = _ahead(best, one)
    leads, most = dict[Family, float](), 0.0
    if use is not None:
        own = ahead[:, families.index(candidates.family(use))]
        most = _quantile(own.clip(0.0), weights)
        leads = {
            f: float(weights @ (own * (one == i))) / found[f]
            for i, f in enumerate(families)
            if f != candidates.family(use) and found[f] > 0
        }
    stated = Chances(
        named=use,
        families=found,
        candidates=question.by_candidate(scores, one, weights),
        losses=dict(zip(families, (weights @ ahead.clip(0.0)).tolist(), strict=True)),
        most=most,
        leads=leads,
        members={f: candidates.best.get(f) or question.members(f)[0] for f in families},
        unmeasured=tuple(f for f in families if f not in candidates.families),
        usable=bool(question.able),
        able=question.able,
        scores=marks,
    )
    return question.with_unseen(stated, question.outlook(stated, planned))


def _ahead(best: Floats, one: npt.NDArray[np.int64]) -> Floats:
    """Return (..., families) how far the family to use leads each; 0 where none is to be used."""
    ahead = np.take_along_axis(best, one.clip(0)[..., None], axis=-1) - best
    return np.where(one[..., None] < 0, 0.0, ahead)


def _quantile(values: Floats, weights: Floats, share: float = 0.95) -> float:
    """Return the least of the values that so much of the weight does not exceed."""
    order = np.argsort(values)
    return float(values[order][np.searchsorted(np.cumsum(weights[order]), share)])


class _Said(NamedTuple):
    """The place of the named family and its loss, (ends,), and (ends, families) chances."""

    family: npt.NDArray[np.int64]
    shares: Floats
    loss: Floats


@dataclass(frozen=True)
class _Question:
    """Families, cheapest first, as columns of the scores of all candidates."""

    candidates: Candidates
    joint: JointDistribution

    @cached_property
    def families(self) -> list[Family]:
        """Return all families, cheapest first; one that was not measured by its usual place."""
        candidates = self.candidates
        found = sorted(
            candidates.families, key=lambda f: candidates.names.index(candidates.best[f])
        )
        for new in dict.fromkeys(c.info.family for c in candidates.unmeasured):
            if new not in found:
                usual = FAMILIES.index(new)
                later = [i for i, f in enumerate(found) if FAMILIES.index(f) > usual]
                found.insert(later[0] if later else len(found), new)
        return found

    @cached_property
    def able(self) -> list[str]:
        """Return the members to use that do better than every floor, more likely than not.

        By what was measured: a promise with more labels makes none usable. None is where every
        candidate breaks a limit; nor is one that answers as a floor does, or that a floor leads by
        more than the margin.
        """
        candidates, joint = self.candidates, self.candidates.distribution
        (scores, weights), floors = joint.points, [*map(joint.names.index, candidates.floors)]
        top = scores[:, floors].max(axis=1, initial=-np.inf, keepdims=True)
        likely = dict(zip(joint.names, weights @ (scores > top) >= 0.5, strict=True))
        members = candidates.best.values() if candidates.nearest is None else ()
        found = {name for name in members if likely[name] and not candidates.beaten(name)}
        return [name for name in candidates.names if name in found]

    def to_use(self, chances: Mapping[Family, float]) -> str | None:
        """Return the member of least expected loss; where none is usable, that of highest score.

        That score is the one to be expected by all answers, without promises: a first fit that time
        cut short says little of what a longer one has reached.
        """
        candidates = self.candidates
        if not self.able:
            scores, weights = candidates.distribution.points
            means = dict(zip(candidates.distribution.names, weights @ scores, strict=True))
            return max(candidates.best.values(), key=means.__getitem__, default=None)
        of = {name: chances[candidates.family(name)] for name in self.able}
        return least_loss(self.joint, self.able, candidates.rule.margin, chances=of)

    def with_lost(self, points: Floats, weights: Floats) -> tuple[Floats, Floats]:
        """Return (..., points, candidates) scores and weights, with those of fits that fail.

        With a small chance the fits of a fine-tuned candidate lose their way now and then, which
        those that were made did not show (`LOST_SHARE`): its mean score is lower by as much.
        """
        scores, candidates = points.clip(0.0, 1.0), self.candidates
        floor = max((candidates.accuracies[n].value for n in candidates.floors), default=0.0)
        each, shares = [scores], [1.0]
        for place, name in enumerate(self.joint.names):
            candidate = candidates.scores[name]
            if candidate.info.family == "fine-tuning" and candidate.repeats:
                fits = len(candidate.main.runs) if candidate.main else 1
                shares.append(LOST_SHARE * (1 - LOST_RATE) ** fits)
                lower = scores.copy()
                lower[..., place] -= LOST_RATE * (lower[..., place] - floor).clip(0.0)
                each.append(lower)
        every = np.concatenate([weights * share for share in shares])
        return np.concatenate(each, axis=-2), every / every.sum()

    def members(self, family: Family) -> list[str]:
        """Return the members of a family, floors aside."""
        scores, floors = self.candidates.scores, self.candidates.floors
        return [n for n in self.joint.names if scores[n].info.family == family and n not in floors]

    def columns(self, names: Sequence[str]) -> list[int]:
        return [self.joint.names.index(name) for name in names]

    def best(self, scores: Floats) -> Floats:
        """Return (..., families) scores of the best member of each."""
        columns = [self.columns(self.members(family)) for family in self.families]
        return np.stack([scores[..., own].max(axis=-1) for own in columns], axis=-1)

    def one(self, scores: Floats, best: Floats) -> npt.NDArray[np.int64]:
        """Return (...,) the place of the family to use; -1 where none beats the floor."""
        top = best.argmax(axis=-1)
        lead = best.max(axis=-1)[..., None] - best
        cheaper = np.arange(len(self.families)) <= top[..., None]
        found = (cheaper & (lead <= self.candidates.rule.margin)).argmax(axis=-1)
        floors = self.columns(self.candidates.floors)
        if floors:
            own = np.take_along_axis(best, found[..., None], axis=-1)[..., 0]
            found = np.where(own > scores[..., floors].max(axis=-1), found, -1)
        return np.asarray(found)

    def by_candidate(
        self, scores: Floats, one: npt.NDArray[np.int64], weights: Floats
    ) -> dict[str, float]:
        """Return the chance of each candidate that its family is the one, and it the best of it."""
        found = dict.fromkeys(self.joint.names, 0.0)
        for i, family in enumerate(self.families):
            members = self.members(family)
            first = scores[:, self.columns(members)].argmax(axis=1)
            for j, name in enumerate(members):
                found[name] = float(weights @ ((one == i) & (first == j)))
        return found

    def with_unseen(self, stated: Chances, later: Outlook | None) -> Chances:
        """Return chances that count what a search of a part cannot tell; `later` does already."""
        stated = replace(stated, later=later, learned=self.learned(stated.candidates))
        if self.candidates.scores.searched is None:
            return stated
        families = self.unseen(np.array([*stated.families.values()])).tolist()
        return replace(
            stated,
            families=dict(zip(stated.families, families, strict=True)),
            candidates={name: (1 - UNSEEN) * own for name, own in stated.candidates.items()},
        )

    def learned(
        self, own: Mapping[str, float], planned: Mapping[str, Whole] = MappingProxyType({})
    ) -> bool:
        """Return whether labels not learned from, now or then, add no more doubt than fits do."""
        gains = promised_gains(self.candidates.every, {n: w.labels for n, w in planned.items()})
        return all(own[n] < MAY_BE or g.variance <= ASSUMED_SD**2 for n, g in gains.items())

    def unseen(self, chances: Floats) -> Floats:
        """Return (..., families) chances with what a part of the passages cannot tell of all."""
        if self.candidates.scores.searched is None:
            return chances
        return (UNSEEN / len(self.families) + (1 - UNSEEN) * chances).clip(max=SURE - 0.01)

    def outlook(self, stated: Chances, planned: Mapping[str, Whole]) -> Outlook | None:
        """Return what is expected to be said once all that is planned, if anything, was measured.

        Fewer points are looked at than for what is stated: so what is calculated alike for now and
        then is the change.
        """
        if not planned:
            return None
        family, able = stated.family, {*map(self.candidates.family, self.able)}
        asked = {f for f in self.families if {*self.members(f)} & {*planned}}
        now = self._said(stated, points_of(self.joint.parts, POINTS), {family})
        then = self._said(stated, points_of(self.joint.ends, POINTS), {family} | able | asked)
        chances = np.array([stated.families[f] for f in self.families])
        words = _words(self.unseen(chances + then.shares - now.shares))
        moved = (then.family != now.family) | (words != _words(self.unseen(chances))).any(axis=-1)
        chance = self.unseen(then.shares)[np.arange(len(then.family)), then.family]
        if len(self.families) == len(FAMILIES) and self.learned(stated.candidates, planned):
            chance = corrected(chance)
        loss = float(then.loss.mean())
        return Outlook(float(chance.mean()), loss, float(now.loss[0]) - loss, float(moved.mean()))

    def _said(self, stated: Chances, points: Floats, usable: Collection[Family | None]) -> _Said:
        """Return what is said of (ends, points, candidates) scores where some may be named."""
        scores, weights = self.with_lost(points, np.full(points.shape[1], 1 / points.shape[1]))
        best = self.best(scores)
        one = self.one(scores, best)
        losses = np.einsum("epf,p->ef", _ahead(best, one).clip(0.0), weights)
        shares = np.stack([(one == i) @ weights for i in range(len(self.families))], axis=-1)
        every = range(len(self.families))
        known = [i for i in every if self.families[i] in usable] or [*every]
        own = self.columns([stated.members[self.families[i]] for i in known])
        given_up = losses_of(points[..., own], self.candidates.rule.margin).mean(axis=1)
        near = given_up <= given_up.min(axis=-1, keepdims=True) + NEAR
        use = np.array(known)[np.where(near, shares[:, known], -1.0).argmax(axis=-1)]
        return _Said(use, shares, losses[np.arange(len(use)), use])


def _words(chances: Floats) -> npt.NDArray[np.int64]:
    return np.asarray(np.searchsorted((LIKELY, SURE), chances, side="right"))
