"""Which labels are in doubt, and how many may be wrong.

It removes no row and changes no label; it says where a person should look. Doubts come from
out-of-fold answers, which no row helped to learn.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil

import numpy as np

from choose.judge.evidence import Evidence
from choose.schema.diagnosis import Audit, LabelOverlap, NoiseBand, Suspect, WeakAuditor
from choose.stats import Estimate
from choose.stats.intervals import wilson
from choose.stats.two_way import Mask
from choose.types import CLEAN, Codes, Floats, Run

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
        return np.where(self.given >= self.probabilities.max(axis=1), self.targets, outputs)

    @cached_property
    def given(self) -> Floats:
        return self.probabilities[np.arange(len(self.targets)), self.targets]

    @property
    def contradicts(self) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
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
    # A constant candidate can only blur an average, and a teacher's mistakes would be taken for
    # those of the labels.
    able = [c.name for c in evidence.candidates if c.cheap and not (c.constant or c.taught)]
    auditors = [found for name in able if (found := _alone(evidence, name)) is not None]
    most = max((len(auditor.ids) for auditor in auditors), default=0)
    rest = [auditor for auditor in auditors if len(auditor.ids) == most]
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


def _alone(evidence: Evidence, name: str) -> Auditor | None:
    """Return a candidate's first repetition as an auditor; None without answers or scores."""
    runs, right = out_of_fold_runs(evidence, name), evidence.targets
    scored = [scores for run in runs if (scores := run.answers[CLEAN].scores) is not None]
    if not runs or len(scored) < len(runs):
        return None
    code = {label: code for code, label in enumerate(evidence.labels)}
    ids = [id for run in runs for id in run.asked[CLEAN]]
    targets = np.array([code[right[id]] for id in ids], dtype=np.int64)
    order = np.argsort(ids, kind="stable")
    probabilities = np.exp(np.concatenate(scored))[order]
    return Auditor((name,), tuple(ids[i] for i in order.tolist()), targets[order], probabilities)


def _joined(a: Auditor, b: Auditor) -> Auditor:
    count = len(a.names)
    mean = (count * a.probabilities + b.probabilities) / (count + 1)
    return Auditor((*a.names, *b.names), a.ids, a.targets, mean)


def confident_labels(targets: Codes, probabilities: Floats) -> Codes:
    """Return (n,) the label that each row is confidently counted as, `NONE` where there is none.

    A row counts as the likeliest of the labels whose probability reaches their threshold: the mean
    probability of the label over the rows that carry it.

    Targets are (n,) codes of the labels as given, probabilities (n, labels), out of fold.
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
    parts = (evidence.items, evidence.pool)
    cluster = {id: c for part in parts for id, c in zip(part.ids, part.clusters, strict=True)}
    bounds = noise_bounds(auditor, [cluster[id] for id in auditor.ids])
    weak = weakness(auditor, bounds)
    suspected = labels_to_check(auditor, bounds)
    low, high = wilson(auditor.accuracy * bounds.units, bounds.units)
    return Audit(
        auditors=auditor.names,
        rows=len(auditor.ids),
        accuracy=Estimate(value=auditor.accuracy, low=low, high=high),
        noise=None if weak else NoiseBand(low=bounds.low, high=bounds.high),
        weak=weak,
        contradicted=int(auditor.contradicts.sum()),
        suspected=len(suspected),
        suspects=tuple(_suspects(evidence, auditor, suspected[:MOST_SUSPECTS])),
        overlaps=tuple(_overlaps(evidence, auditor, suspected)),
    )


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
    rows: Codes = np.flatnonzero(auditor.contradicts & confirmed_labels(auditor)[auditor.targets])
    return rows[np.argsort(-log_odds(auditor.targets, auditor.probabilities)[rows], kind="stable")]


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
    place = {id: row for row, id in enumerate(auditor.ids)}
    code: dict[str | None, int] = {label: code for code, label in enumerate(evidence.labels)}
    columns = [np.empty((len(place), 0), dtype=np.int64)]
    for info in evidence.candidates:
        votes = {id: code.get(o, NONE) for id, o in out_of_fold(evidence, info.name).items()}
        if len({*votes.values()}) > 1:
            columns.append(np.array([votes.get(id, NONE) for id in place], dtype=np.int64)[:, None])
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


def out_of_fold(evidence: Evidence, name: str) -> dict[str, str | None]:
    """Return the first out-of-fold answer of a candidate to each row, by id."""
    return {
        id: output
        for run in out_of_fold_runs(evidence, name)
        for id, output in zip(run.asked[CLEAN], run.answers[CLEAN].outputs, strict=True)
    }
