"""Compute the facts of the audit, before they are described."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import sqrt
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from choose.check.targets import Targets
from choose.data.dataset import Rows
from choose.data.duplicates import (
    Duplicate,
    TextIndex,
    clusters_of,
    conflicting_texts,
    count_duplicates,
    duplicates_across,
    duplicates_within,
    index_texts,
)
from choose.data.examples import dropped_rows, usable_rows
from choose.data.findings import balance_of, hardly_counted, lengths_of, sorted_input
from choose.data.languages import languages_of
from choose.data.personal_data import hints_by_row
from choose.data.scenarios import MIN_DATED, MIN_ROWS, moment_of
from choose.data.stratify import sampling_order, stratified_folds
from choose.judge.diagnosis.doubted_labels import audit_labels
from choose.judge.evidence import CandidateInfo, Evidence, Items, items_of
from choose.judge.sample_size import detectable_gains
from choose.schema.base import Command, Interval
from choose.schema.check import (
    FEW,
    NAMED,
    Balance,
    Drift,
    FoundLabel,
    LabelCount,
    Languages,
    Lengths,
    MixChange,
    Repeats,
    TextChange,
)
from choose.schema.diagnosis import Audit
from choose.schema.plan import DetectableGains
from choose.stats.intervals import wilson
from choose.strategy import build, find
from choose.tasks.answering import passage_field
from choose.tasks.kinds import KINDS
from choose.tasks.labels import Classification
from choose.types import STANDARD, Dataset, Example, Run, Task, Trial

_PERMUTATIONS = 2_000


@dataclass(frozen=True, slots=True)
class Periods:
    """Rows of the first and of the last third; every early row is older than every late one.

    `appeared` and `vanished` are labels, or fields of records, with five rows or more in one third
    and none in the other.
    """

    early: list[Example]
    late: list[Example]
    appeared: tuple[str, ...]
    vanished: tuple[str, ...]


def _label(row: Example) -> tuple[str, ...]:
    return (row.target,)


def periods_of(
    rows: Collection[Example], names: Callable[[Example], Iterable[str]] = _label
) -> Periods | None:
    """Return the first and the last third; None where dates are too few or too coarse.

    `names` gives the label of a row, or the fields of its record.
    """
    dated = sorted((e for e in rows if e.timestamp is not None), key=moment_of)
    if len(dated) < max(MIN_DATED * len(rows), 3 * MIN_ROWS):
        return None
    size = len(dated) // 3
    last, first = moment_of(dated[size])[0], moment_of(dated[-size - 1])[0]
    early = [e for e in dated[: size + 1] if moment_of(e)[0] < last]
    late = [e for e in dated[-size - 1 :] if moment_of(e)[0] > first]
    if min(len(early), len(late)) < MIN_ROWS:
        return None
    return Periods(early, late, _only_in(late, early, names), _only_in(early, late, names))


def _only_in(
    rows: list[Example], others: list[Example], names: Callable[[Example], Iterable[str]]
) -> tuple[str, ...]:
    known = {name for e in others for name in names(e)}
    counts = Counter(name for e in rows for name in names(e))
    return tuple(sorted(name for name, n in counts.items() if n >= FEW and name not in known))


def label_drift(before: Sequence[str], after: Sequence[str]) -> MixChange:
    """Compare the label mixes of two sets of rows by a seeded permutation test."""
    names, codes = np.unique([*before, *after], return_inverse=True)
    first = np.arange(len(codes)) < len(before)
    rng = np.random.default_rng(0)
    distance = _distance(codes, first, len(names))
    null = np.array(
        [_distance(codes, rng.permutation(first), len(names)) for _ in range(_PERMUTATIONS)]
    )
    p = (1 + int((null >= distance - 1e-12).sum())) / (1 + _PERMUTATIONS)
    return MixChange(distance=distance, expected=float(null.mean()), p=p)


def text_drift(scores: npt.ArrayLike, later: Sequence[bool]) -> TextChange:
    """Return the area under the ROC curve of out-of-fold scores that a row is late.

    The interval is DeLong's (1988), or Wilson's on the smaller set where the scores separate all
    rows, clipped to [0, 1]; `p` is Mann and Whitney's, one-sided, with ties.
    """
    from scipy.stats import rankdata  # takes a second to load

    s, y = np.asarray(scores, dtype=np.float64), np.asarray(later, dtype=np.bool_)
    m, n = int(y.sum()), int((~y).sum())
    ranks = rankdata(s)
    inside, outside = rankdata(s[y]), rankdata(s[~y])
    # For each row, the share of the other set's rows that it is ranked correctly against.
    above = (ranks[y] - inside) / n
    below = 1 - (ranks[~y] - outside) / m
    auc = float(above.mean())
    half = float(ndtri(0.975)) * sqrt(above.var(ddof=1) / m + below.var(ddof=1) / n)
    # Where the scores separate all rows, their variance is 0 and the interval must stay open.
    low, high = (auc - half, auc + half) if half else wilson(auc * min(m, n), min(m, n))
    _, ties = np.unique(s, return_counts=True)
    total = m + n
    null = m * n / 12 * (total + 1 - float((ties**3 - ties).sum()) / (total * (total - 1)))
    p = float(ndtr(-(auc - 0.5) * m * n / sqrt(null))) if null > 0 else 1.0
    return TextChange(
        auc=Interval(
            value=auc,
            low=max(low, 0.0),
            high=min(high, 1.0),
            estimand="same-two-times",
        ),
        p=p,
    )


def _distance(codes: npt.NDArray[np.int64], first: npt.NDArray[np.bool_], labels: int) -> float:
    before = np.bincount(codes[first], minlength=labels) / first.sum()
    after = np.bincount(codes[~first], minlength=labels) / (~first).sum()
    return float(np.abs(before - after).sum() / 2)


# One label has most rows from this share on.
MAJORITY = 0.6

# The candidate that the audit runs.
BASELINE = "tfidf"
FOLDS = 5

# Rows whose labels are audited and whose texts are searched for change: more take minutes.
MOST_ROWS = 20_000

# With more characters in all, only single words are used: as accurate, and much faster (banking77:
# 89 % instead of 88 %, in a tenth of the time).
MAX_CHARACTERS = 300_000

_PERIODS = Classification(labels=("earlier", "later"), names=("earlier", "later"))


# What compares on rows that were passed in Python.
ON_ROWS = Command(verb="compare", in_python=True)


@dataclass(frozen=True)
class Facts:
    """The rows as read and as split, and the facts about them; each is computed once.

    `margin` and `metric` are the goal's; `target` is the command that compares on these rows.
    `study` is a finished study of the same rows with its audit, by candidates that know more than
    the baseline: then there is one list of doubted labels, here and in its report.
    """

    rows: Rows
    dataset: Dataset
    margin: float
    metric: str = "accuracy"
    target: Command = ON_ROWS
    study: tuple[str, Audit] | None = None

    @cached_property
    def pool(self) -> list[Example]:
        return usable_rows(self.rows.pool, None)[0]

    @cached_property
    def test(self) -> list[Example] | None:
        return usable_rows(self.rows.pool, self.rows.test)[1]

    @cached_property
    def all(self) -> list[Example]:
        return [*self.pool, *(self.test or ())]

    @cached_property
    def text_index(self) -> TextIndex:
        """Return which texts are the same or nearly the same."""
        return index_texts(self.all, passage_field(self.dataset.task) is not None)

    @cached_property
    def duplicates(self) -> list[Duplicate]:
        """Return the rows that repeat another row of the same file."""
        index = self.text_index
        return duplicates_within(self.pool, index) + duplicates_within(self.test or [], index)

    @cached_property
    def leaks(self) -> list[Duplicate] | None:
        """Return the test rows that repeat a training row; None without a test file."""
        if self.test is None:
            return None
        return duplicates_across(self.test, self.pool, self.text_index)

    @cached_property
    def duplicate_counts(self) -> tuple[Repeats, Repeats | None]:
        """Count `duplicates` and `leaks`."""
        ungrouped = [replace(e, group=None) for e in self.all]
        sizes = Counter(clusters_of(ungrouped, self.text_index).values())
        chain = max(sizes.values(), default=0)
        across = None if self.leaks is None else count_duplicates(self.leaks, chain)
        return count_duplicates(self.duplicates, chain), across

    @cached_property
    def conflicts(self) -> list[list[Example]]:
        return conflicting_texts(self.all)

    @cached_property
    def alike(self) -> int:
        """Return the number of texts with several labels, if punctuation does not count."""
        return 0 if self.conflicts else len(conflicting_texts(self.all, punctuation=False))

    @cached_property
    def grouped(self) -> int:
        """Return how many test rows are in the same group as a training row."""
        groups = {e.group for e in self.pool} - {None}
        return sum(e.group in groups for e in self.test or ())

    @cached_property
    def broken_chain(self) -> bool:
        """Return whether a chain of near-duplicates is too long for a split to keep together."""
        data, (repeats, _) = self.dataset, self.duplicate_counts
        largest = len(data.examples) // (len(data.folds) if data.division == "cross-fit" else 2)
        return self.test is None and repeats.chain > largest

    @cached_property
    def dropped(self) -> tuple[str, ...]:
        """Say which rows were left out."""
        read = self.rows
        return tuple(dropped_rows(read.pool, read.test, KINDS[read.kind]))

    @cached_property
    def unseen(self) -> tuple[str, ...]:
        """Return the labels of the test file that no training row has."""
        return tuple(sorted({e.target for e in self.test or ()} - {e.target for e in self.pool}))

    @cached_property
    def group(self) -> str | None:
        """Return a column that may say which rows belong together, where none does."""
        return None if any(e.group for e in self.all) else self.rows.hint

    @cached_property
    def order_of_rows(self) -> tuple[str, ...]:
        return tuple(sorted_input(self.pool))

    @cached_property
    def several_languages(self) -> bool:
        """Return whether texts are in several languages, or in one that the encoder lacks."""
        least = max(NAMED * len(self.all), 2)
        named = [x for x in self.languages.found if x.rows >= least]
        return len(named) > 1 or bool(self.languages.foreign)

    @cached_property
    def balance(self) -> Balance:
        return balance_of(self.all)

    @cached_property
    def hidden(self) -> tuple[LabelCount, ...]:
        """Return the labels that the goal's metric hardly counts, the rarest first."""
        return hardly_counted(self.balance) if self.metric == "accuracy" else ()

    @property
    def dominant(self) -> bool:
        return self.balance.majority >= MAJORITY

    @cached_property
    def lengths(self) -> Lengths:
        return lengths_of(self.all)

    @cached_property
    def languages(self) -> Languages:
        return languages_of(self.all)

    @cached_property
    def personal(self) -> list[tuple[str, str]]:
        """Return (id, kind) of rows with hints of personal data."""
        return hints_by_row(self.all)

    @cached_property
    def targets(self) -> Targets:
        """Return what targets that are no labels hold."""
        test, unspaced = self.test, self.languages.unspaced
        return Targets(self.dataset, self.pool, test, self.text_index, unspaced)

    @cached_property
    def reach(self) -> DetectableGains:
        data = self.dataset
        clusters = [data.clusters.get(id, f"alone {id}") for id in data.asked]
        return detectable_gains(clusters, self.margin)

    @cached_property
    def audited(self) -> dict[str, Example]:
        """Return the rows that the baseline predicts by id: all, or a sample."""
        return {e.id: e for e in sample_of(list(self.dataset.examples.values()), MOST_ROWS)}

    @property
    def is_sampled(self) -> bool:
        return self.study is None and len(self.audited) < len(self.dataset.examples)

    @cached_property
    def baseline(self) -> tuple[Run, ...]:
        """Return the baseline's out-of-fold predictions of the audited rows."""
        data = self.dataset
        settings = settings_for(self.audited.values(), self.languages.unspaced)
        return out_of_fold_runs(data.task, self.audited, data.clusters, settings)

    @cached_property
    def audit(self) -> Audit | None:
        """Return the audit of the study, else that by out-of-fold predictions of the baseline."""
        if self.study is not None:
            return self.study[1]
        return audit_labels(evidence_of(self.dataset, tuple(self.audited), self.baseline))

    @cached_property
    def predicted(self) -> dict[str, str | None]:
        """Return the baseline's out-of-fold prediction by row."""
        return {
            id: output
            for run in self.baseline
            for id, output in zip(
                run.asked["clean", 0], run.answers["clean", 0].outputs, strict=True
            )
        }

    @cached_property
    def found_labels(self) -> dict[str, FoundLabel]:
        """Return by label how many of its rows the baseline finds."""
        pairs = [(self.dataset.examples[id].target, said) for id, said in self.predicted.items()]
        rows, said = Counter(target for target, _ in pairs), Counter(said for _, said in pairs)
        right = Counter(target for target, said in pairs if target == said)
        return {
            label: FoundLabel(rows=n, right=right[label], said=said[label])
            for label, n in rows.items()
        }

    @cached_property
    def drift(self) -> Drift | None:
        """Compare the first third of the rows with the last; None without enough dates."""
        task = self.dataset.task
        periods = periods_of(self.dataset.examples.values(), lambda e: task.classes(e.target))
        if periods is None:
            return None
        first, last = periods.early[0].timestamp, periods.late[-1].timestamp
        assert first is not None
        assert last is not None
        return Drift(
            early=len(periods.early),
            late=len(periods.late),
            early_from=first.date(),
            late_to=last.date(),
            labels=label_drift(
                [task.stratum(e.target) for e in periods.early],
                [task.stratum(e.target) for e in periods.late],
            ),
            texts=self._text_drift(periods.early, periods.late),
            appeared=periods.appeared,
            vanished=periods.vanished,
        )

    def _text_drift(self, early: Sequence[Example], late: Sequence[Example]) -> TextChange:
        early, late = sample_of(early, MOST_ROWS // 2), sample_of(late, MOST_ROWS // 2)
        rows = {e.id: replace(e, target="earlier") for e in early}
        rows |= {e.id: replace(e, target="later") for e in late}
        settings = settings_for(rows.values(), self.languages.unspaced)
        runs = out_of_fold_runs(_PERIODS, rows, self.dataset.clusters, settings)
        scores, later = [], []
        for run in runs:
            answers = run.answers["clean", 0]
            assert answers.scores is not None
            scores.append(answers.scores[:, 1] - answers.scores[:, 0])
            later += [rows[id].target == "later" for id in run.asked["clean", 0]]
        return text_drift(np.concatenate(scores), later)


def sample_of(rows: Sequence[Example], most: int) -> Sequence[Example]:
    """Return the rows, or where there are more a random sample of `most`, in their order."""
    if len(rows) <= most:
        return rows
    return [rows[place] for place in sorted(Random(0).sample(range(len(rows)), most))]


def settings_for(rows: Iterable[Example], unspaced: bool) -> dict[str, Any]:
    """Return the baseline's hyperparameters for texts of this length and script."""
    if sum(len(e.text) for e in rows) <= MAX_CHARACTERS:
        return {}
    return {"pairs": False, "characters": unspaced}


def out_of_fold_runs(
    task: Task,
    rows: Mapping[str, Example],
    clusters: Mapping[str, str],
    settings: Mapping[str, Any],
) -> tuple[Run, ...]:
    """Predict every row by a baseline that was trained on neither it nor its cluster."""
    targets = {e.id: e.target for e in rows.values()}
    parts = stratified_folds(list(targets), targets, clusters, FOLDS, seed=0)
    return tuple(
        _run(task, rows, targets, part, fold, settings) for fold, part in enumerate(parts) if part
    )


def evidence_of(dataset: Dataset, ids: tuple[str, ...], runs: tuple[Run, ...]) -> Evidence:
    """Return the runs, on rows with these ids, as the judge reads a study of one candidate."""
    cls = find(BASELINE)
    info = CandidateInfo(name=BASELINE, strategy=BASELINE, family=cls.family, learns=cls.learns)
    return Evidence(
        name=dataset.name,
        fingerprint=dataset.fingerprint,
        rows=len(ids),
        labels=dataset.task.labels,
        division="cross-fit",
        items=items_of(dataset, ids),
        pool=Items(ids=(), targets=(), clusters=()),
        candidates=(info,),
        pool_rows=tuple(run.trial.train_size for run in runs),
        runs=runs,
    )


def _run(
    task: Task,
    rows: Mapping[str, Example],
    targets: Mapping[str, str],
    test_ids: Sequence[str],
    fold: int,
    settings: Mapping[str, Any],
) -> Run:
    test = set(test_ids)
    order = sampling_order((id for id in targets if id not in test), targets, draw=0)
    pool = [rows[id] for id in order]
    strategy = build(BASELINE, seed=0, **settings)
    strategy.fit(task, pool)
    answers = strategy.predict([rows[id].item() for id in test_ids])
    trial = Trial(
        candidate=BASELINE,
        strategy=BASELINE,
        revision=type(strategy).revision,
        params=settings,
        variant="",
        fold=fold,
        draw=0,
        train_size=len(pool),
        seed=0,
        weights="",
        task=task.digest,
        pool="",
        questions="",
        scenario=STANDARD,
    )
    return Run(trial=trial, answers={("clean", 0): answers}, asked={("clean", 0): tuple(test_ids)})
