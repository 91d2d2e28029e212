"""Score tables: a study's runs as (rows, repetitions) matrices of answers and scores."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from choose.judge.evidence import CandidateInfo, Evidence, Items, id_hash
from choose.schema.candidate_scorecard import Failure
from choose.schema.plan import Searched
from choose.stats.two_way import Mask, answered, whole_rows
from choose.tasks.metrics import DEFAULT, UNUSABLE, Metric, metric_of
from choose.types import CLEAN, Codes, Floats, Run


@dataclass(frozen=True)
class ScoredRows:
    """The test rows as arrays.

    Attributes:
        index: place of each row by id.
        targets: (rows,) codes of labels, or of texts where the task has no labels.
        labels: in the order of their codes; empty where answers are texts: scores then come from
            the runs, and no figure by label exists.
        clusters: of each row; None if every row is its own cluster, or all are of one: then figures
            are about that one, of which rows are drawn.
        one_cluster: whether all are of one.
        conflicting: rows whose input has two targets.
        metric: what the study decides by.
        codes: code by answer; texts get one as they occur, so that equal texts have equal codes.
        fields: what each record fills; none where answers are labels.
    """

    index: Mapping[str, int]
    targets: Codes
    labels: tuple[str, ...]
    clusters: tuple[str, ...] | None
    conflicting: Mask
    metric: Metric
    codes: dict[str, int] = field(default_factory=dict)
    fields: tuple[frozenset[str], ...] = ()
    one_cluster: bool = False

    def of_class(self, name: str) -> Mask:
        """Return which rows have a label, or records that fill a field."""
        if self.labels:
            return np.asarray(self.targets == self.labels.index(name), dtype=np.bool_)
        return np.array([name in filled for filled in self.fields], dtype=np.bool_)

    @property
    def graded(self) -> bool:
        return not self.labels

    def codes_of(self, outputs: Iterable[str | None]) -> Codes:
        """Return the codes of answers: `UNUSABLE` for None, and for texts that are no label."""
        if self.labels:
            known = [UNUSABLE if o is None else self.codes.get(o, UNUSABLE) for o in outputs]
        else:
            known = [
                UNUSABLE if o is None else self.codes.setdefault(o, len(self.codes))
                for o in outputs
            ]
        return np.array(known, dtype=np.int64)

    def scored(self, place: Codes, codes: Codes) -> Floats:
        return np.asarray(codes == self.targets[place], dtype=np.float64)

    def row_set(self, mask: Mask) -> str:
        """Return the number of rows in the mask with a digest of their ids (see `Estimate`)."""
        return f"{int(mask.sum())}:{int(self._id_hashes[mask].sum()) & 0xFFFFFFFF:08x}"

    @cached_property
    def _id_hashes(self) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
        return np.array([id_hash(id) for id in self.index], dtype=np.uint64)

    def clusters_of(self, mask: Mask) -> list[str] | None:
        if self.clusters is None:
            return None
        return [self.clusters[i] for i in np.flatnonzero(mask).tolist()]

    @cached_property
    def weights(self) -> Floats | None:
        """Return the (rows,) weights of all rows, or None if all count the same."""
        return self.weights_of(np.ones(len(self.targets), dtype=np.bool_))

    def weights_of(self, mask: Mask) -> Floats | None:
        return self.metric.weigh(self.targets[mask]) if self.metric.weigh else None

    def weights_on(self, mask: Mask) -> Floats | None:
        """Return (rows,) the weights of the rows in the mask, 0 elsewhere."""
        own = self.weights_of(mask)
        if own is None:
            return None
        weights = np.zeros(len(self.targets))
        weights[mask] = own
        return weights


def rows_of(evidence: Evidence, items: Items, metric: str) -> ScoredRows:
    codes = {label: i for i, label in enumerate(evidence.labels)}
    clusters = len(set(items.clusters))
    one = clusters == 1 < len(items.ids)
    if not evidence.labels:
        codes = {text: i for i, text in enumerate(dict.fromkeys(items.targets))}
    return ScoredRows(
        index={id: i for i, id in enumerate(items.ids)},
        targets=np.array([codes[target] for target in items.targets], dtype=np.int64),
        labels=evidence.labels,
        clusters=None if one or clusters == len(items.ids) else items.clusters,
        conflicting=np.array([id in items.conflicting for id in items.ids], dtype=np.bool_),
        metric=metric_of(metric),
        codes=codes,
        fields=items.fields,
        one_cluster=one,
    )


MISSING = -2

# The number of rows under which answers after learning from the whole pool of a fold are found:
# folds differ by a few rows.
WHOLE = 2**62


@dataclass(frozen=True)
class ScoreTable:
    """The answers of one candidate at one place of the grid, over folds and repetitions.

    `outputs` holds (rows, repetitions) codes of answers, `UNUSABLE` or `MISSING`; `draws` names the
    repetitions; `runs` are the trials behind it. `stored` are (rows, repetitions) scores, None
    where they follow from the labels. `learns` tells whether the trials learn from labelled rows.
    """

    outputs: Codes
    draws: tuple[int, ...]
    runs: tuple[Run, ...]
    rows: ScoredRows
    stored: Floats | None = None
    learns: bool = False

    @cached_property
    def right(self) -> Floats:
        """Return (rows, repetitions) scores in [0, 1], NaN where not evaluated.

        A label scores 1 where it is right and 0 where it is wrong or unusable.
        """
        evaluated = self.outputs != MISSING
        if self.stored is not None:
            return np.where(evaluated, self.stored, np.nan)
        scores = np.full(self.outputs.shape, np.nan)
        scores[evaluated] = self.rows.scored(np.nonzero(evaluated)[0], self.outputs[evaluated])
        return scores

    @cached_property
    def complete(self) -> Mask:
        """Return the rows that the complete repetitions share (see `whole_rows`)."""
        return whole_rows(self.right, answered(self.right))

    @cached_property
    def whole(self) -> Mask:
        """Return the repetitions that answered all complete rows."""
        return np.asarray(~np.isnan(self.right[self.complete]).any(axis=0), dtype=np.bool_)

    @property
    def block(self) -> Floats:
        """Return the scores of complete repetitions on complete rows, without gaps."""
        return self.right[self.complete][:, self.whole]

    @property
    def answers(self) -> Codes:
        return self.outputs[self.complete][:, self.whole]

    def by_row(self, values: Callable[[Run], Floats]) -> Floats:
        """Return (rows, repetitions) values of the clean answers of runs, NaN without an answer."""
        found = np.full(self.outputs.shape, np.nan)
        for run in self.runs:
            place = [self.rows.index[id] for id in run.asked[CLEAN]]
            found[place, self.draws.index(run.trial.draw)] = values(run)
        return found

    def of_draws(self, draws: Iterable[int]) -> Floats:
        return self.right[:, [self.draws.index(draw) for draw in draws]]


def score_table(runs: Sequence[Run], rows: ScoredRows, view: str = "") -> ScoreTable | None:
    """Return the answers of some runs, one column a repetition, or None without any.

    Failed ones are left out. Of a `view` all repeats are read, a later one over an earlier one;
    else the clean answers.
    """
    done = tuple(run for run in runs if run.error is None and CLEAN in run.answers)
    draws = tuple(sorted({run.trial.draw for run in done}))
    outputs = np.full((len(rows.targets), len(draws)), MISSING, dtype=np.int64)
    stored = None if rows.labels else np.full(outputs.shape, np.nan)
    for run in done:
        column = draws.index(run.trial.draw)
        for key in (key for key in run.answers if (key[0] == view if view else key == CLEAN)):
            place = [rows.index[id] for id in run.asked[key]]
            outputs[place, column] = rows.codes_of(run.answers[key].outputs)
            if stored is not None:
                stored[place, column] = scores_in(run, key)
    return ScoreTable(outputs, draws, done, rows, stored) if (outputs != MISSING).any() else None


def scores_in(run: Run, view: tuple[str, int], metric: str | None = None) -> Floats:
    """Return (n,) stored scores of one view of a run, by the headline metric unless one is named.

    Raises:
        KeyError: if the view was not scored.
    """
    scores = run.scores[view]
    return scores[metric or next(iter(scores))]


ARTEFACT, RETRAINING = "artefact", "refits"


def estimand_of(repetitions: int, repeated: str = RETRAINING) -> str:
    """Return what an interval is about: `repeated`, or the one artefact if nothing was."""
    return repeated if repetitions > 1 else ARTEFACT


@dataclass(frozen=True)
class CandidateScores:
    """All score tables of one candidate.

    Attributes:
        main: clean, default setting, the largest pool that it learned from; None without answers.
        drawn: whether that pool is a part of the labels, whose rows change with the repetition.
        pool: labels in that pool, the largest over the folds.
        whole: labels in the whole pool of a fold, the most over the folds.
        wordings: by name of the setting, the default one under "".
        noise: by rate of added noise.
        sizes: by number of labels, smaller pools only.
        errors: each way in which it failed.
        failures: failed trials of the main cell.
        scenario_runs: trials of the scenarios that have pools and questions of their own.
        all_rows: all labelled rows, which those scenarios may ask.
    """

    info: CandidateInfo
    main: ScoreTable | None
    drawn: bool
    pool: int
    wordings: Mapping[str, ScoreTable] = field(default_factory=dict)
    noise: Mapping[float, ScoreTable] = field(default_factory=dict)
    sizes: Mapping[int, ScoreTable] = field(default_factory=dict)
    errors: tuple[Failure, ...] = ()
    failures: int = 0
    whole: int = 0
    scenario_runs: tuple[Run, ...] = ()
    all_rows: ScoredRows | None = None

    @cached_property
    def by_pool(self) -> Mapping[int, ScoreTable]:
        """Return the clean answers by rows learned from; those of the whole pool under `WHOLE`."""
        if self.main is None:
            return self.sizes
        return {**self.sizes, (self.pool if self.drawn else WHOLE): self.main}

    @property
    def repeats(self) -> bool:
        """Return whether another repetition could change its answers."""
        return self.info.learns and (self.info.seeded or self.drawn)

    @property
    def repetitions(self) -> int:
        return 0 if self.main is None else int(self.main.whole.sum())

    @property
    def estimand(self) -> str:
        return estimand_of(self.repetitions, f"new-pools:{self.pool}" if self.drawn else RETRAINING)


@dataclass(frozen=True)
class StudyScores:
    """All candidates of a study on the same rows.

    Attributes:
        rows: the test rows.
        candidates: their score tables.
        training_rows: training rows of the compared fits, the largest of the folds.
        pool: rows of the training pool of these fits, the largest of the folds.
        searched: the passages that all candidates searched, if those are not all.
    """

    rows: ScoredRows
    candidates: tuple[CandidateScores, ...]
    training_rows: int = 0
    pool: int = 0
    searched: Searched | None = None

    def __getitem__(self, name: str) -> CandidateScores:
        return next(c for c in self.candidates if c.info.name == name)

    @property
    def scored(self) -> tuple[CandidateScores, ...]:
        return tuple(c for c in self.candidates if c.main is not None)


def study_scores(evidence: Evidence, metric: str = DEFAULT) -> StudyScores:
    rows = rows_of(evidence, evidence.items, metric)
    all_rows = rows_of(evidence, _joined(evidence), metric)
    by_candidate: dict[str, list[Run]] = defaultdict(list)
    for run in evidence.runs:
        by_candidate[run.trial.candidate].append(run)
    measured = [
        replace(_measured(info, by_candidate[info.name], evidence, rows), all_rows=all_rows)
        for info in evidence.candidates
    ]
    return StudyScores(
        rows,
        tuple(_with_known(candidate, measured) for candidate in measured),
        training_rows=max((candidate.pool for candidate in measured), default=0),
        pool=max((*evidence.pool_rows, *evidence.taught_rows), default=0),
        searched=evidence.searched,
    )


def _with_known(candidate: CandidateScores, measured: Sequence[CandidateScores]) -> CandidateScores:
    """Add what a candidate that learns nothing answers with fewer or wrong labels: the same."""
    if candidate.info.learns or candidate.info.given or candidate.main is None:
        return candidate
    noise = {key: candidate.main for other in measured for key in other.noise}
    sizes = {size: candidate.main for other in measured for size in other.sizes}
    return replace(candidate, noise=noise | {**candidate.noise}, sizes=sizes | {**candidate.sizes})


def _plain(run: Run) -> bool:
    return run.trial.scenario.kind in ("standard", "noise")


def _joined(evidence: Evidence) -> Items:
    items, pool = evidence.items, evidence.pool
    return Items(
        ids=items.ids + pool.ids,
        targets=items.targets + pool.targets,
        clusters=items.clusters + pool.clusters,
        conflicting=items.conflicting | pool.conflicting,
        fields=items.fields + pool.fields,
    )


def _measured(
    info: CandidateInfo, runs: Sequence[Run], evidence: Evidence, rows: ScoredRows
) -> CandidateScores:
    whole = evidence.taught_rows if info.taught else evidence.pool_rows
    full = _largest_pool(runs)
    cells: dict[tuple[str, float, int], list[Run]] = defaultdict(list)
    for run in filter(_plain, runs):
        trial = run.trial
        if not info.given and trial.train_size > full.get(trial.fold, trial.train_size):
            continue  # it read fewer of these rows
        size = 0 if info.given or trial.train_size == full.get(trial.fold) else trial.train_size
        rate = trial.scenario.rate if trial.scenario.kind == "noise" else 0.0
        cells[trial.variant, rate, size].append(run)
    learns = info.learns and not info.constant
    found = {cell: score_table(part, rows) for cell, part in cells.items()}
    tables = {cell: replace(table, learns=learns) for cell, table in found.items() if table}
    failed = Counter(run.error for run in runs if run.error).most_common()
    main = ("", 0.0, 0)
    return CandidateScores(
        info=info,
        main=tables.get(main),
        drawn=any(size < whole[fold] for fold, size in full.items()),
        pool=max(full.values(), default=0),
        whole=max(whole, default=0),
        wordings={v: t for (v, rate, size), t in tables.items() if not rate and not size},
        noise={rate: t for (v, rate, size), t in tables.items() if rate and not v and not size},
        sizes={size: t for (v, rate, size), t in tables.items() if size and not v and not rate},
        errors=tuple(Failure(trials=n, planned=len(runs), error=e) for e, n in failed),
        failures=sum(bool(run.error) for run in cells[main]),
        scenario_runs=tuple(run for run in runs if not _plain(run)),
    )


def _largest_pool(runs: Sequence[Run]) -> dict[int, int]:
    """Return by fold the rows of the pool of which a candidate read most, the larger of equals.

    Folds in which it learned from far fewer are none of these: only their smaller pools count.
    """
    most: dict[int, tuple[float, int]] = {}
    for run in runs:
        trial = run.trial
        if trial.scenario.kind == "standard" and not trial.variant and CLEAN in run.answers:
            read = run.share_read * trial.train_size
            most[trial.fold] = max(most.get(trial.fold, (0.0, 0)), (read, trial.train_size))
    full = {fold: size for fold, (_, size) in most.items()}
    return full or {run.trial.fold: run.trial.train_size for run in runs}
