"""The decision: first which family, then which member of it.

The families are baseline, prompting, retrieval and fine-tuning. A family is adopted if it is the
one to use with a chance of `SURE` (see `chance`). Until then the family of least expected loss is
used, and the others that may be the one keep the question open. The member that is named is that of
least expected loss. Members that the evidence cannot separate never leave the question open. Floors
are references and never what to use.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, NamedTuple

from scipy.stats import fisher_exact

from choose.errors import NothingToJudge
from choose.judge.decision.candidates import Candidates, select_candidates
from choose.judge.decision.chance import Chances, chances_of, word_of
from choose.judge.diagnosis.cascade import takeover_of
from choose.judge.diagnosis.differing_rows import overlap_of
from choose.judge.diagnosis.documents import document_drill, loss_splits, missing_evidence
from choose.judge.diagnosis.doubted_labels import audit_labels
from choose.judge.evidence import Evidence
from choose.judge.goal import Rule
from choose.judge.scores.joint_distribution import Whole
from choose.judge.scores.promised_score import Normal, promised_gains, promised_score, rows_read
from choose.judge.scores.score_tables import CandidateScores, ScoredRows, study_scores
from choose.schema.decision import POSSIBLE
from choose.schema.diagnosis import Audit, DocumentDrill, ErrorOverlap, LossSplit, Takeover
from choose.schema.plan import COMPARISON, REPETITIONS, LeftOut, Reason
from choose.stats import Estimate
from choose.stats.paired import Difference, smallest_detectable_gain
from choose.types import Family

# A range as wide as this says nothing of a promised score.
WIDE = 0.5

# From this share of the training rows on, a candidate learned from all but a few of them.
NEARLY_ALL = 0.98

# Shares that differ by less are not spoken of; the error of calling a difference one.
LEAST_SHIFT, SURELY_SHIFTED = 0.05, 0.001

# Runs that a study needs to measure the variance between runs well.
ENOUGH_RUNS = 5

# Why planned repetitions did not run that a larger budget, or a higher --max-usd, would run.
LATE: tuple[Reason, ...] = ("out-of-time", "out-of-money")

Target = Literal["met", "missed", "open", "none"]


def target_status(accuracy: Estimate, target: float | None) -> Target:
    """Say whether the whole interval of an accuracy reaches a target."""
    if target is None:
        return "none"
    assert accuracy.low is not None
    assert accuracy.high is not None
    if accuracy.low >= target:
        return "met"
    return "missed" if accuracy.high < target else "open"


def _lead(candidates: Candidates, a: str, b: str) -> float:
    difference = candidates.gain(a, b)
    return difference.value if difference else -1.0


class Shift(NamedTuple):
    """A label whose share of the training rows is far from that of the test rows."""

    label: str
    training: float
    test: float

    @property
    def times(self) -> float:
        small, large = sorted((self.training, self.test))
        return large / max(small, 1e-9)


def label_shift(training: Sequence[str], test: Sequence[str]) -> Shift | None:
    """Return the label whose share differs most, if it surely does and by half or more.

    The test is Fisher's exact one, divided by the number of labels (Bonferroni).
    """
    if not training or not test:
        return None
    counts = Counter(training), Counter(test)
    labels = sorted({*training, *test})
    found = [Shift(n, counts[0][n] / len(training), counts[1][n] / len(test)) for n in labels]
    far = [one for one in found if abs(one.test - one.training) >= LEAST_SHIFT and one.times >= 1.5]
    if not far:
        return None
    most = max(far, key=lambda one: abs(one.test - one.training))
    sizes = zip(counts, (len(training), len(test)), strict=True)
    table = [[count[most.label], size - count[most.label]] for count, size in sizes]
    return most if fisher_exact(table).pvalue * len(labels) < SURELY_SHIFTED else None


@dataclass(frozen=True)
class Case:
    """The decided candidates with the diagnosis, as gates and sentences need them.

    `left_out` was planned and not measured; no document is known to hold the answers of the
    questions `unanswered`;
    `leaked` test rows were in the training file too; `unseen` are labels without a training row.
    """

    candidates: Candidates
    chances: Chances
    audit: Audit | None = None
    overlap: ErrorOverlap | None = None
    splits: tuple[LossSplit, ...] = ()
    without_evidence: Estimate | None = None
    left_out: tuple[LeftOut, ...] = ()
    unanswered: tuple[str, ...] = ()
    drill: DocumentDrill | None = None
    shift: Shift | None = None
    takeover: Takeover | None = None
    leaked: int = 0
    unseen: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def named(self) -> str:
        """Return the candidate to use until more is known; the adopted one if there is one."""
        return self.chances.named or self.candidates.leader

    @cached_property
    def sure(self) -> bool:
        """Return whether the family of the named candidate is surely the one to use."""
        chance = self.chances.families.get(self.family, 0.0) if self.chances.usable else 0.0
        return word_of(chance) == "sure"

    @cached_property
    def target(self) -> Target:
        return target_status(self.candidates.accuracies[self.named], self.candidates.rule.target)

    @cached_property
    def reachable(self) -> bool:
        target, known = self.candidates.rule.target, self.candidates.accuracies.values()
        return target is None or any((interval.high or 0) >= target for interval in known)

    @cached_property
    def rivals(self) -> tuple[str, ...]:
        """Return the members to use of other families that may be the one, the likeliest first."""
        if self.sure:
            return ()
        candidates, chances = self.candidates, self.chances.families
        own = None if self.named in candidates.floors else self.family
        likely = [f for f in candidates.families if f != own and chances[f] >= POSSIBLE]
        likely.sort(key=lambda family: -chances[family])
        return tuple(candidates.best[family] for family in likely)

    @cached_property
    def promising(self) -> tuple[str, ...]:
        """Return all members that may be the one to use: of the named family if that is sure."""
        chance = self.chances.candidates
        asked = self.candidates.families[self.family] if self.sure else self.candidates.names
        return tuple(sorted((n for n in asked if chance[n] >= POSSIBLE), key=lambda n: -chance[n]))

    @cached_property
    def shown(self) -> tuple[str, ...]:
        """Return the member to use of each family, and the likeliest one where that is another."""
        candidates = self.candidates
        first = {candidates.family(name): name for name in reversed(self.promising)}
        return tuple(dict.fromkeys((*candidates.best.values(), *first.values())))

    @cached_property
    def gains(self) -> dict[str, Normal]:
        """Return by candidate what the labels add that it has not learned from."""
        return promised_gains(self.candidates.every)

    @cached_property
    def promised(self) -> dict[str, Estimate]:
        """Return what those shown promise with all labels, if that is the margin more and told."""
        now = self.candidates.accuracies
        found = {
            name: promised_score(now[name], gain)
            for name in self.shown
            if self.chances.usable and (gain := self.gains[name]).mean >= max(self.margin, 1e-9)
        }
        return {n: s for n, s in found.items() if (s.high or 1.0) - (s.low or 0.0) < WIDE}

    @cached_property
    def near(self) -> tuple[str, ...]:
        """Return members of the same family that are not shown to be behind, the best first."""
        candidates, name = self.candidates, self.named
        if name in candidates.floors:
            return ()
        others = [n for n in candidates.families[self.family] if n != name]
        near = [n for n in others if (gap := candidates.gain(n, name)) is None or gap.high > 0]
        return tuple(sorted(near, key=lambda n: -_lead(candidates, n, name)))

    @property
    def margin(self) -> float:
        return self.candidates.rule.margin

    @property
    def rows(self) -> ScoredRows:
        return self.candidates.scores.rows

    @cached_property
    def unpaid(self) -> frozenset[str]:
        """Return the candidates that a higher --max-usd would let go on."""
        return frozenset(one.candidate for one in self.left_out if one.reason == "out-of-money")

    @cached_property
    def rival(self) -> str | None:
        """Return the first rival; else that of the closest family; else the closest candidate.

        Its comparison with the named candidate is the one that decides.
        """
        if self.rivals:
            return self.rivals[0]
        candidates, name = self.candidates, self.named
        others = [n for f, n in candidates.best.items() if f != candidates.family(name)]
        others = others or [n for n in candidates.names if n != name]
        return max(others, key=lambda n: _lead(candidates, n, name), default=None)

    @cached_property
    def lead(self) -> Difference | None:
        return self.candidates.gain(self.rival, self.named) if self.rival else None

    @property
    def lead_of_costlier(self) -> Difference | None:
        """Return that difference as the lead of the costlier of the two."""
        costlier = self.rival in self.candidates.costlier(self.named)
        return self.lead if self.lead is None or costlier else self.lead.negated()

    @cached_property
    def detectable(self) -> float | None:
        """Return the gain that the deciding comparison detects with 80 % power.

        The number of runs limits it as much as the number of rows.
        """
        if (difference := self.lead) is None:
            return None
        gain = smallest_detectable_gain(
            difference.independent * difference.rows,
            difference.discordance,
            repetition_variance=difference.error.second / difference.largest**2,
        )
        return gain * difference.largest if gain is not None else None

    @property
    def family(self) -> Family:
        return self.candidates.family(self.named)

    @cached_property
    def room(self) -> float:
        return 1 - self.candidates.accuracies[self.named].middle

    @property
    def done(self) -> bool:
        return self.sure and self.room < self.margin

    @cached_property
    def missing(self) -> tuple[Family, ...]:
        """Return families of the question of which nothing was measured and that may be the one.

        A study asks about the families of its candidates; one with a single family does not answer
        the question at all, unless nothing is left to gain.
        """
        found = [f for f in self.chances.unmeasured if self.chances.families[f] >= POSSIBLE]
        asked = {c.info.family for c in self.candidates.scores.candidates if not c.info.floor}
        if len(asked) <= 1 and not self.room < self.margin:
            found += [f for f in self.candidates.question if f not in asked]
        return tuple(dict.fromkeys(found))

    # What remains to be measured.

    @cached_property
    def unbegun(self) -> tuple[str, ...]:
        """Return the candidates without any answer, if one is of a family that was not measured."""
        all_scores, known = self.candidates.scores.candidates, self.candidates.families
        none = [c.info for c in all_scores if c.main is None and not c.failures]
        new = any(info.family not in known for info in none)
        return tuple(info.name for info in none) if new else ()

    @cached_property
    def unfinished(self) -> dict[str, int]:
        """Return by member that may be the one the test rows it lacks and would get with more time.

        One that has answered all rows is among them while it would learn from more. Left out are
        those that more time would not continue: the verdict did not need the rest.
        """
        ended = {
            one.candidate
            for one in self.left_out
            if (one.reason == "dropped" and one.candidate != self.named)
            or (one.reason == "not-needed" and COMPARISON in one.trials)
        }
        rest = {}
        for name in dict.fromkeys((self.named, *self.rivals, *self.near, *self.promising)):
            one = self.candidates.scores[name]
            out = name in ended or one.info.given or name in self.candidates.floors
            lacking = 0 if one.main is None else int((~one.main.complete).sum())
            if one.main is not None and not out and (lacking or self.unread(name)):
                rest[name] = lacking
        return rest

    def unread(self, name: str) -> int:
        """Return the training rows that a candidate may gain by and would read with more time.

        A fit cut short that others have followed, of other folds or seeds, is not made again.
        """
        one = self.candidates.scores[name]
        read = rows_read(one.pool, one.main)
        ended = read >= NEARLY_ALL * one.whole or self.gains[name].mean <= 0
        cut = sum(run.share_read < 1 for run in one.main.runs) if one.main else 0
        return 0 if ended or cut > 1 else round(one.whole - read)

    @cached_property
    def to_repeat(self) -> tuple[CandidateScores, ...]:
        """Return the named candidate and rivals with fewer than `ENOUGH_RUNS` runs.

        None where the question is decided, or variance between runs is not most of the error.
        """
        if self.sure or self.lead is None or self.lead.run_share < 0.5:
            return ()
        few = (c for c in self.candidates.order if c.repeats and c.repetitions < ENOUGH_RUNS)
        names = {self.named, *self.rivals}.difference(self.candidates.floors)
        return tuple(c for c in few if c.info.name in names and not c.info.given)

    @cached_property
    def planned_runs(self) -> dict[str, int]:
        """Return by candidate the planned trials that would settle it, if any."""
        late = [one for one in self.left_out if one.reason in LATE and REPETITIONS in one.trials]
        left = {one.candidate: one.trials[REPETITIONS] for one in late}
        return {c.info.name: left[c.info.name] for c in self.to_repeat if c.info.name in left}

    @cached_property
    def extra_runs(self) -> dict[str, int]:
        """Return by candidate the trials that it lacks of `ENOUGH_RUNS` repetitions."""
        return {c.info.name: (ENOUGH_RUNS - c.repetitions) * _trials(c) for c in self.to_repeat}

    @cached_property
    def would_tell(self) -> bool:
        """Return whether the remaining measurements may change what is said."""
        asked = dict.fromkeys((*self.unbegun, *self.unfinished), len(self.rows.targets))
        planned = self.whole_after(asked, self.planned_runs or self.extra_runs)
        return bool(planned) and chances_of(self.candidates, planned).worth_asking

    def whole_after(
        self, asked: Mapping[str, int], runs: Mapping[str, int], share: float = 1.0
    ) -> dict[str, Whole]:
        """Return what will have been measured after a share of the trials and labels left.

        By candidate, `asked` are the test rows that it will have answered, and `runs` the trials of
        its repetitions that are left. The share is of these, and of labels that fits have not read.
        """
        found, total = {}, len(self.rows.targets)
        for name in {**asked, **runs}:
            one = self.candidates.scores[name]
            more = int(share * runs.get(name, 0) / _trials(one))
            read = rows_read(one.pool, one.main)
            labels = round(read + share * (one.whole - read)) if read < one.whole else 0
            found[name] = Whole(asked.get(name, total), one.repetitions + more, labels)
        return found


def _trials(candidate: CandidateScores) -> int:
    trials = len(candidate.main.runs) if candidate.main else 1
    return max(1, round(trials / max(1, candidate.repetitions)))


def case_of(evidence: Evidence, rule: Rule, left_out: tuple[LeftOut, ...] = ()) -> Case:
    """Decide what to use, and diagnose what limits it.

    Raises:
        NothingToJudge: if no candidate answered a single row.
    """
    if not (scores := study_scores(evidence, rule.metric)).scored:
        for one in (c for c in scores.candidates if c.errors):
            raise NothingToJudge(candidate=one.info.name, **one.errors[0].model_dump())
        raise NothingToJudge
    candidates = select_candidates(scores, rule)
    unanswered, missing = missing_evidence(evidence)
    shift = label_shift(evidence.pool.targets, evidence.items.targets)
    return Case(
        candidates,
        chances_of(candidates),
        audit=audit_labels(evidence),
        overlap=overlap_of(candidates),
        splits=loss_splits(evidence, scores),
        without_evidence=missing,
        left_out=left_out,
        unanswered=unanswered,
        drill=document_drill(evidence, scores),
        takeover=takeover_of(candidates),
        shift=shift if evidence.labels else None,
        leaked=evidence.leaked,
        unseen=evidence.unseen,
    )
