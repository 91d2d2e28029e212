"""Which labels are in doubt, and how many may be wrong: labels, sets, values of records, answers.

It removes no row and changes no label; it says where a person should look. Doubts come from
out-of-fold answers, which no row helped to learn.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil

import numpy as np

from choose.corpus import holds
from choose.formatting import normalised
from choose.judge.evidence import (
    CandidateInfo,
    Evidence,
    HasFields,
    HoldsLabels,
    MayAbstain,
)
from choose.judge.measures.text_metrics import nearest_part
from choose.judge.scores.score_tables import CLEAN, CandidateScores, StudyScores, scores_in
from choose.schema.base import Interval
from choose.schema.diagnosis import Audit, LabelOverlap, NoiseBand, Suspect, WeakAuditor
from choose.schema.scorecard import SuspectValue, SuspectValues
from choose.stats.intervals import wilson
from choose.stats.metrics import UNUSABLE, Codes
from choose.stats.two_way import Mask
from choose.types import Floats, Run, Status, Task

# What no row is counted as.
NONE = -1

# Nothing is said of wrong labels, neither a list nor a share, below this `skill` of the auditor.
# Of what it gains where confident contradictions count as wrong labels, a part is credited, and
# `MOST_CREDIT` at most: its own mistakes are among them, and an auditor at chance has nothing else.
# Chosen and measured by benchmarks/label_audit.py, on different sets.
SKILLED = 0.735
CREDITED = 0.8
MOST_CREDIT = 0.25

# No doubt on a label of which the auditor confirms fewer rows, at the lower bound.
CONFIRMS = 0.4

# An accurate auditor's error rate on its confident half, of its error rate on all rows.
HALF = 0.25


@dataclass(frozen=True)
class OutOfFold:
    """Out-of-fold answers of one candidate, one row a labelled row, one repetition only.

    Attributes:
        ids: (n,) the rows.
        targets: (n,) codes of their labels as given.
        outputs: (n,) codes of the answers, `UNUSABLE` where there is none.
        scores: (n, labels) probabilities, or None where a candidate gives no scores.
    """

    ids: tuple[str, ...]
    targets: Codes
    outputs: Codes
    scores: Floats | None


def out_of_fold(evidence: Evidence, candidate: str) -> OutOfFold | None:
    """Return the out-of-fold answers of a candidate's first repetition; None where it has none."""
    if not (runs := out_of_fold_runs(evidence, candidate)):
        return None
    code: dict[str | None, int] = {label: code for code, label in enumerate(evidence.labels)}
    ids = tuple(id for run in runs for id in run.asked[CLEAN])
    answers, right = [run.answers[CLEAN] for run in runs], evidence.targets
    scored = [a.scores for a in answers if a.scores is not None]
    outputs = [code.get(output, UNUSABLE) for a in answers for output in a.outputs]
    return OutOfFold(
        ids=ids,
        targets=np.array([code[right[id]] for id in ids], dtype=np.int64),
        outputs=np.array(outputs, dtype=np.int64),
        scores=np.exp(np.concatenate(scored)) if len(scored) == len(answers) else None,
    )


def out_of_fold_runs(evidence: Evidence, candidate: str) -> list[Run]:
    """Return the runs of a candidate's first repetition with out-of-fold answers.

    In a cross-fit division these are the clean answers after learning from the largest pool. With
    a test part they are of the ``inner`` trials, cross-validation inside the training pool, so that
    no test row is used.
    """
    kind = "standard" if evidence.division == "cross-fit" else "inner"
    largest: dict[int, int] = {}
    for trial in (run.trial for run in evidence.runs):
        if kind == trial.scenario.kind == "standard":
            largest[trial.fold] = max(largest.get(trial.fold, 0), trial.train_size)
    return [
        run
        for run in evidence.runs
        if (run.trial.candidate, run.trial.scenario.kind) == (candidate, kind)
        and (run.trial.draw, run.trial.variant) == (0, "")
        and run.error is None
        and CLEAN in run.answers
        and run.trial.train_size >= largest.get(run.trial.fold, 0)
    ]


@dataclass(frozen=True)
class Auditor:
    """Out-of-fold probabilities of one candidate, or the average of several.

    Attributes:
        names: the candidates that are averaged, the best first.
        ids: (n,) the rows.
        targets: (n,) codes of their labels as given.
        probabilities: (n, labels).
    """

    names: tuple[str, ...]
    ids: tuple[str, ...]
    targets: Codes
    probabilities: Floats

    @cached_property
    def outputs(self) -> Codes:
        """Return (n,) codes of the likeliest labels; a tie with the given label goes to it."""
        outputs: Codes = self.probabilities.argmax(axis=1)
        tied = self.given >= self.probabilities.max(axis=1)
        return np.where(tied, self.targets, outputs)

    @cached_property
    def given(self) -> Floats:
        return self.probabilities[np.arange(len(self.targets)), self.targets]

    @property
    def contradicts(self) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Return (n,) whether another label is likelier than the given one."""
        return np.asarray(self.outputs != self.targets, dtype=np.bool_)

    @property
    def accuracy(self) -> float:
        return float(1 - self.contradicts.mean())


def auditor_of(evidence: Evidence) -> Auditor | None:
    """Return the best auditor among the cheap candidates with scores, or None without one.

    Starting from the most accurate, candidates are averaged in as long as the average becomes
    more accurate out of fold (greedy ensemble selection, Caruana et al. 2004). Averages of unlike
    candidates rank planted errors better than the best of them, and weak ones are not let in.
    """
    auditors = [
        (info.name, answers)
        for info in evidence.candidates
        # A constant candidate can only blur an average.
        if info.cheap
        and not info.constant
        # A teacher's mistakes would be taken for those of the labels.
        and not info.taught
        and (answers := out_of_fold(evidence, info.name))
        and answers.scores is not None
    ]
    most = max((len(answers.ids) for _, answers in auditors), default=0)
    rest = [_alone(name, answers) for name, answers in auditors if len(answers.ids) == most]
    if not most:
        return None
    rest.sort(key=lambda auditor: -auditor.accuracy)
    best = rest.pop(0)
    while tried := [_joined(best, other) for other in rest if set(other.ids) == set(best.ids)]:
        better = max(tried, key=lambda auditor: auditor.accuracy)
        if better.accuracy <= best.accuracy:
            break
        best = better
        rest = [other for other in rest if other.names[0] not in best.names]
    return best


def _alone(name: str, answers: OutOfFold) -> Auditor:
    order = np.argsort(answers.ids, kind="stable")
    assert answers.scores is not None
    return Auditor(
        (name,),
        tuple(answers.ids[i] for i in order.tolist()),
        answers.targets[order],
        answers.scores[order],
    )


def _joined(a: Auditor, b: Auditor) -> Auditor:
    count = len(a.names)
    mean = (count * a.probabilities + b.probabilities) / (count + 1)
    return Auditor((*a.names, *b.names), a.ids, a.targets, mean)


def confident_labels(targets: Codes, probabilities: Floats) -> Codes:
    """Return (n,) the label that each row is confidently counted as, `NONE` where there is none.

    A row counts as the likeliest of the labels whose probability reaches their threshold: the mean
    probability of the label over the rows that carry it.

    Args:
        targets: (n,) codes of the labels as given.
        probabilities: (n, labels), out of fold.
    """
    labels = probabilities.shape[1]
    given = probabilities[np.arange(len(targets)), targets]
    support = np.bincount(targets, minlength=labels)
    threshold = np.where(
        support > 0, np.bincount(targets, given, minlength=labels) / np.maximum(support, 1), np.inf
    )
    reached = probabilities >= threshold
    likeliest = np.where(reached, probabilities, -1.0).argmax(axis=1)
    return np.where(reached.any(axis=1), likeliest, NONE)


def log_odds(targets: Codes, probabilities: Floats) -> Floats:
    """Return (n,) how much likelier the best other label is than the given one, in logarithms.

    A thousandth is added on both sides, since a probability of nearly 0 is never that sure.
    """
    rows = np.arange(len(targets))
    others = probabilities.copy()
    others[rows, targets] = 0.0
    odds: Floats = np.log((others.max(axis=1) + 1e-3) / (probabilities[rows, targets] + 1e-3))
    return odds


@dataclass(frozen=True, slots=True)
class NoiseBounds:
    """The rate of wrong labels: bounds, and the accuracy if those that are shown were corrected.

    `units` is the number of clusters, which is what the intervals count. `shown` is the most wrong
    labels that the confident half speaks for, as a share of all rows.
    """

    low: float
    high: float
    shown: float
    net_accuracy: float
    units: int


def noise_bounds(auditor: Auditor, clusters: Sequence[str]) -> NoiseBounds:
    """Return bounds on the rate of wrong labels from one auditor's contradictions.

    With D the share of contradictions, d that on the confident half and q = `HALF`, evenly spread
    wrong labels e and own mistakes m satisfy D = e + m and d = e + q m, so that
    e = d - (D - d) q / (1 - q).
    """
    wrong = auditor.contradicts
    top = auditor.probabilities.max(axis=1)
    half = np.argsort(-top, kind="stable")[: max(len(top) // 2, 1)]
    everywhere, confident = float(wrong.mean()), float(wrong[half].mean())
    own = max(everywhere - confident, 0.0) * HALF / (1 - HALF)
    middle = max(confident - own, 0.0)
    units, inside = len(set(clusters)), len({clusters[i] for i in half.tolist()})
    sure, most = wilson(confident * inside, inside)
    _, high = wilson(everywhere * units, units)
    net = min((1 - everywhere) / max(1 - middle, 1e-9), 1.0)
    return NoiseBounds(max(sure - own, 0.0), high, max(most - own, 0.0), net, units)


def chance_of(auditor: Auditor) -> float:
    """Return the accuracy of an auditor that learned nothing.

    It is the share of the most common label, or the agreement of answers dealt to other rows
    (Cohen 1960) where that is higher.
    """
    labels, rows = auditor.probabilities.shape[1], len(auditor.targets)
    given = np.bincount(auditor.targets, minlength=labels) / rows
    answered = np.bincount(auditor.outputs, minlength=labels) / rows
    return max(float(given.max()), float(given @ answered))


def skill(auditor: Auditor, bounds: NoiseBounds) -> float:
    """Return how far the auditor is from chance (0) to perfect (1), at its lower bound.

    Most of its confident contradictions count as right (`CREDITED`), since wrong labels themselves
    pull down the accuracy on labels as given: with 15 % of them no auditor gets above 85 %.
    """
    chance, units = chance_of(auditor), bounds.units
    if chance >= 1:
        return 0.0
    given, net = (
        (wilson(accuracy * units, units)[0] - chance) / (1 - chance)
        for accuracy in (auditor.accuracy, bounds.net_accuracy)
    )
    return given + min(CREDITED * (net - given), MOST_CREDIT)


def confirmed_labels(auditor: Auditor) -> Mask:
    """Return (labels,) whether the auditor confirms enough of a label's rows to doubt others.

    Without this, a weak auditor of a rare label doubts every row that has it.
    """
    labels = auditor.probabilities.shape[1]
    rows = np.bincount(auditor.targets, minlength=labels)
    right = np.bincount(auditor.targets[~auditor.contradicts], minlength=labels)
    return np.array(
        [n > 0 and wilson(k, n)[0] >= CONFIRMS for k, n in zip(right, rows, strict=True)],
        dtype=np.bool_,
    )


def weakness(auditor: Auditor, bounds: NoiseBounds) -> WeakAuditor | None:
    """Return how far too weak an auditor is to tell wrong labels; None where it is not."""
    if skill(auditor, bounds) >= SKILLED:
        return None
    chance = chance_of(auditor)
    return WeakAuditor(by_chance=chance, needed=chance + SKILLED * (1 - chance))


# Doubted labels that the record lists; its count is of all.
MOST_SUSPECTS = 200

MOST_OVERLAPS = 10

# One suspected row makes no overlap.
FEWEST = 2


def audit_labels(evidence: Evidence) -> Audit | None:
    """Compare the labels with out-of-fold answers; None without an auditor.

    There is none either where targets are no labels.
    """
    if not evidence.labels:
        return None
    auditor = auditor_of(evidence) if len(evidence.labels) > 1 else None
    if auditor is None:
        return None
    bounds = noise_bounds(auditor, _clusters(evidence, auditor))
    weak = weakness(auditor, bounds)
    suspected = labels_to_check(auditor, bounds)
    low, high = wilson(auditor.accuracy * bounds.units, bounds.units)
    return Audit(
        auditors=auditor.names,
        rows=len(auditor.ids),
        accuracy=Interval(value=auditor.accuracy, low=low, high=high),
        noise=None if weak else NoiseBand(low=bounds.low, high=bounds.high),
        weak=weak,
        contradicted=int(auditor.contradicts.sum()),
        suspected=len(suspected),
        suspects=tuple(_suspects(evidence, auditor, suspected[:MOST_SUSPECTS])),
        overlaps=tuple(_overlaps(evidence, auditor, suspected)),
    )


def _clusters(evidence: Evidence, auditor: Auditor) -> tuple[str, ...]:
    cluster: dict[str, str] = {}
    for items in (evidence.items, evidence.pool):
        cluster.update(zip(items.ids, items.clusters, strict=True))
    return tuple(cluster[id] for id in auditor.ids)


def labels_to_check(auditor: Auditor, bounds: NoiseBounds) -> Codes:
    """Return the rows whose labels are worth a look, the most doubtful first.

    There is none where the auditor is too weak (`weakness`). Otherwise they are as many as
    confident learning counts as wrong, but no more than the auditor's confident half speaks for:
    that keeps the list of a clean set short, where confident learning counts the auditor's own
    mistakes.
    """
    if weakness(auditor, bounds) is not None:
        return np.zeros(0, dtype=np.int64)
    counted = confident_labels(auditor.targets, auditor.probabilities)
    sure = auditor.contradicts & (counted != NONE) & (counted != auditor.targets)
    return most_doubtful(auditor)[: min(int(sure.sum()), ceil(bounds.shown * len(auditor.ids)))]


def most_doubtful(auditor: Auditor) -> Codes:
    """Return the contradicted rows, the most doubtful first.

    Rows of labels that the auditor does not know well enough are left out; see
    `confirmed_labels`. Confident learning says how many labels are wrong, log-odds rank better
    which: of the planted errors in the sample tickets they put 24 among the first 30, its own rows
    hold 16 of 28.
    """
    known = confirmed_labels(auditor)[auditor.targets]
    rows: Codes = np.flatnonzero(auditor.contradicts & known)
    scores = log_odds(auditor.targets, auditor.probabilities)[rows]
    return rows[np.argsort(-scores, kind="stable")]


def _suspects(evidence: Evidence, auditor: Auditor, rows: Codes) -> Iterator[Suspect]:
    scores = log_odds(auditor.targets, auditor.probabilities)
    votes = _votes(evidence, auditor)
    for row in rows.tolist():
        suggested = auditor.outputs[row]
        cast = votes[row][votes[row] != NONE]
        yield Suspect(
            id=auditor.ids[row],
            label=evidence.labels[auditor.targets[row]],
            suggested=evidence.labels[suggested],
            score=float(scores[row]),
            agree=int((cast == suggested).sum()),
            answered=len(cast),
        )


def _votes(evidence: Evidence, auditor: Auditor) -> Codes:
    """Return (n, candidates) usable answers, else `NONE`; who always answers alike has no vote."""
    place = {id: row for row, id in enumerate(auditor.ids)}
    columns = [np.empty((len(place), 0), dtype=np.int64)]
    for info in evidence.candidates:
        answers = out_of_fold(evidence, info.name)
        if answers is None or len(set(answers.outputs.tolist())) < 2:
            continue
        column = np.full((len(place), 1), NONE, dtype=np.int64)
        both = [i for i, id in enumerate(answers.ids) if id in place]
        column[[place[answers.ids[i]] for i in both], 0] = answers.outputs[both]
        columns.append(column)
    return np.concatenate(columns, axis=1)


def _overlaps(evidence: Evidence, auditor: Auditor, suspected: Codes) -> Iterator[LabelOverlap]:
    labels = len(evidence.labels)
    flat = auditor.targets[suspected] * labels + auditor.outputs[suspected]
    directed = np.bincount(flat, minlength=labels**2).reshape(labels, labels)
    both = np.triu(directed + directed.T, 1)
    support = np.bincount(auditor.targets, minlength=labels)
    order = np.argsort(-both, axis=None, kind="stable")[:MOST_OVERLAPS]
    for a, b in zip(*np.unravel_index(order, both.shape), strict=True):
        if both[a, b] >= FEWEST:
            yield LabelOverlap(
                a=evidence.labels[a],
                b=evidence.labels[b],
                doubted=int(both[a, b]),
                rows=int(support[a] + support[b]),
            )


# So many independent candidates make a right value suspect.
AGREE = 2

# A candidate has a say on a label that it gives rightly so often, and in more than this share.
LEAST_RIGHT, SAY = 5, 0.5

# (row id, field, form of comparison), or (row id, label, kind of error).
Value = tuple[str, str, str]


def suspect_values(evidence: Evidence) -> SuspectValues | None:
    """List right values or labels that are in doubt; None for answers without parts."""
    task = evidence.task
    if not isinstance(task, HoldsLabels | HasFields):
        return None
    answers = {
        info.name: found
        for info in evidence.candidates
        if not info.constant and (found := _out_of_fold(evidence, info.name))
    }
    if isinstance(task, HoldsLabels):
        found = _doubted_labels(evidence, task, answers)
    else:
        found = _doubted_values(evidence, task, answers)
    return SuspectValues(suspected=len(found), suspects=tuple(found[:MOST_SUSPECTS]))


def _out_of_fold(evidence: Evidence, name: str) -> dict[str, str | None]:
    """Return the first out-of-fold answer of a candidate to each row, by id."""
    return {
        id: output
        for run in out_of_fold_runs(evidence, name)
        for id, output in zip(run.asked[CLEAN], run.answers[CLEAN].outputs, strict=True)
    }


def _doubted_values(
    evidence: Evidence, task: HasFields, answers: Mapping[str, Mapping[str, str | None]]
) -> list[SuspectValue]:
    """Return the right values that independent candidates contradict alike, most agreed first.

    Candidates are independent if they have unlike models, or unlike strategies without a model.
    """
    right, source = evidence.targets, sources(evidence.candidates)
    given = {id: task.values(right[id], evidence.inputs[id]) for id in evidence.inputs}
    votes: dict[Value, dict[str, str]] = defaultdict(dict)
    written: dict[Value, str] = {}
    for name, outputs in answers.items():
        for id, output in outputs.items():
            values = {} if output is None else task.values(output, evidence.inputs[id])
            for (field, form), (value, stands) in values.items():
                if stands and (field, form) not in given[id]:
                    votes[id, field, form].setdefault(source[name], name)
                    written[id, field, form] = value
    agreed = [key for key, by in votes.items() if len(by) >= AGREE]
    return [
        SuspectValue(
            id=id,
            field=field,
            given=next((text for (name, _), (text, _) in given[id].items() if name == field), None),
            suggested=written[id, field, form],
            candidates=tuple(votes[id, field, form].values()),
        )
        for id, field, form in sorted(agreed, key=lambda key: (-len(votes[key]), key))
    ]


def _doubted_labels(
    evidence: Evidence, task: HoldsLabels, answers: Mapping[str, Mapping[str, str | None]]
) -> list[SuspectValue]:
    """Return labels that rows lack or have and independent candidates would give or leave out.

    A candidate has a say on a label only where it is right more often than not: in giving it, for
    one that a row lacks, and in finding it, for one that a row has.
    """
    right, source = evidence.targets, sources(evidence.candidates)
    votes: dict[Value, dict[str, str]] = defaultdict(dict)
    for name, outputs in answers.items():
        totals: Counter[tuple[str, int]] = Counter()
        wrong: list[tuple[str, str, str]] = []
        for id, output in outputs.items():
            for label, counts in task.counts(output, right[id]).items():
                totals.update({(label, place): count for place, count in enumerate(counts)})
            if output is not None:
                wrong += [(id, *error) for error in task.errors(output, right[id])]
        for row, label, kind in wrong:
            whole = totals[label, 1 if kind == "spurious" else 2]
            if totals[label, 0] >= LEAST_RIGHT and totals[label, 0] > SAY * whole:
                votes[row, label, kind].setdefault(source[name], name)
    agreed = [key for key, by in votes.items() if len(by) >= AGREE]
    return [
        SuspectValue(
            id=id,
            field=label,
            # What a candidate misses is spurious in the row, and the other way round.
            given=label if kind == "missing" else None,
            suggested=label if kind == "spurious" else None,
            candidates=tuple(votes[id, label, kind].values()),
        )
        for id, label, kind in sorted(agreed, key=lambda key: (-len(votes[key]), key))
    ]


def sources(candidates: Sequence[CandidateInfo]) -> dict[str, str]:
    """Return by candidate what its answers come from: a model, or else a strategy."""
    return {info.name: info.model or info.strategy for info in candidates}


# A row is right from this score on. A part of an answer that scores so much is right as well.
RIGHT, LENIENT = 0.5, 0.8


# An unusable answer of such a status says that there is none; others have the wrong form.
WITHHELD: tuple[Status, ...] = ("empty", "abstained", "refused")


@dataclass(frozen=True)
class Answered:
    """The first answer of a candidate to a row, and the passages that it read, if known."""

    output: str | None
    status: Status
    score: float
    shown: tuple[str, ...] | None

    @property
    def right(self) -> bool:
        """Return whether it counts as right."""
        return self.score >= RIGHT


def answers_of(candidate: CandidateScores) -> dict[str, Answered]:
    """Return the answers of a candidate's first repetition by row."""
    found: dict[str, Answered] = {}
    table = candidate.main
    for run in sorted(table.runs if table else (), key=lambda run: run.trial.draw):
        if CLEAN not in run.answers or CLEAN not in run.scores:
            continue
        answers, scores = run.answers[CLEAN], scores_in(run, CLEAN)
        for place, id in enumerate(run.asked[CLEAN]):
            shown = answers.evidence[place] if answers.evidence is not None else None
            one = Answered(
                answers.outputs[place], answers.status[place], float(scores[place]), shown
            )
            found.setdefault(id, one)
    return found


def withheld(one: Answered, task: Task) -> bool:
    """Return whether a candidate said that there is no answer, or nothing."""
    if one.output is None:
        return one.status in WITHHELD
    return isinstance(task, MayAbstain) and task.abstains(one.output)


def doubted_rows(evidence: Evidence, panel: StudyScores) -> dict[str, tuple[str, ...]] | None:
    """Return rows to which independent candidates give the same other answer, with these.

    None with fewer than two such candidates, or without the task. Where the evidence is known, only
    those who read it doubt a label: others repeat what they learnt, or are misled alike. Words of
    the question do not, which weak readers repeat, nor do more or fewer words than the label has.
    """
    if (task := evidence.task) is None:
        return None
    items, source = evidence.items, sources([c.info for c in panel.scored])
    able = (c for c in panel.scored if c.info.reads or not items.evidence)
    voters = [c for c in able if not c.info.constant]
    if len({source[c.info.name] for c in voters}) < AGREE:
        return None
    votes = defaultdict[tuple[str, str], list[str]](list)
    for candidate in voters:
        for id, one in answers_of(candidate).items():
            spans = items.evidence.get(id)
            saw = not spans or one.shown is None or any(holds(p, spans) for p in one.shown)
            if saw and not one.right and one.output is not None and not withheld(one, task):
                votes[id, normalised(one.output)].append(candidate.info.name)
    words = {id: {*normalised(item.text).split()} for id, item in evidence.inputs.items()}
    right = dict(zip(items.ids, items.targets, strict=True))
    return {
        id: tuple(by)
        for (id, said), by in votes.items()
        if len({*map(source.get, by)}) >= AGREE
        and not {*said.split()} <= words.get(id, {*()})
        and not any(
            max(nearest_part(said, text)[1], nearest_part(text, said)[1]) >= LENIENT
            for text in (right[id], *items.accepted.get(id, ()))
        )
    }
