"""From runs to matrices: what each candidate answered at each place of the grid."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from choose.judge.answers import Rows, Table, table_of
from choose.judge.evidence import CandidateInfo, Evidence, Items
from choose.judge.measure import ACCURACY, Measure
from choose.types import Run

ARTEFACT = "this artefact"
RETRAINING = "retraining on this pool"


@dataclass(frozen=True)
class Measured:
    """Everything that was measured of one candidate.

    Attributes:
        main: clean, default setting, the pool size that is compared; None if nothing finished.
        drawn: whether that pool is a sample whose rows change with the repetition.
        pool: labels in that pool, the largest over the folds.
        wordings: by name of the setting, the default one under "".
        noise: by kind and rate of added noise.
        sizes: by number of labels, smaller pools only.
        errors: one sentence for each way in which it failed.
        failures: failed trials of the main cell.
        scenes: trials of the scenarios that have pools and questions of their own.
        everywhere: all labelled rows, which those scenarios may ask.
    """

    info: CandidateInfo
    main: Table | None
    drawn: bool
    pool: int
    wordings: Mapping[str, Table] = field(default_factory=dict)
    noise: Mapping[tuple[str, float], Table] = field(default_factory=dict)
    sizes: Mapping[int, Table] = field(default_factory=dict)
    errors: tuple[str, ...] = ()
    failures: int = 0
    scenes: tuple[Run, ...] = ()
    everywhere: Rows | None = None

    @property
    def repeats(self) -> bool:
        """Return whether another repetition could change its answers."""
        return self.info.learns and (self.info.seeded or self.drawn)

    @property
    def repetitions(self) -> int:
        """Return the whole repetitions of the main cell."""
        return 0 if self.main is None else int(self.main.whole.sum())

    @property
    def estimand(self) -> str:
        """Return what its intervals are about."""
        if self.repetitions < 2:
            return ARTEFACT
        return f"a new pool of {self.pool} labels" if self.drawn else RETRAINING


@dataclass(frozen=True)
class Panel:
    """All candidates of a study on the same rows.

    `labelled` is how many labelled rows there are, `dated` how many of them have a timestamp;
    `learnt` how many labels the compared fits learnt from, of `pool` that they could have; the
    largest of the folds.
    """

    rows: Rows
    candidates: tuple[Measured, ...]
    labelled: int = 0
    dated: int | None = None
    learnt: int = 0
    pool: int = 0

    def __getitem__(self, name: str) -> Measured:
        """Return a candidate by name."""
        return next(c for c in self.candidates if c.info.name == name)

    @property
    def scored(self) -> tuple[Measured, ...]:
        """Return the candidates that answered something."""
        return tuple(c for c in self.candidates if c.main is not None)


def panel(evidence: Evidence, measure: Measure = ACCURACY) -> Panel:
    """Lay a study's runs out as matrices, scored by what its answers count."""
    rows = _rows(evidence, evidence.items, measure)
    everywhere = _rows(evidence, _joined(evidence), measure)
    standard = [run for run in evidence.runs if run.trial.scenario.kind == "standard"]
    full: dict[int, int] = {}
    for run in standard:
        full[run.trial.fold] = max(full.get(run.trial.fold, 0), run.trial.train_size)
    by_candidate: dict[str, list[Run]] = defaultdict(list)
    for run in evidence.runs:
        by_candidate[run.trial.candidate].append(run)
    drawn = any(size < evidence.pool_rows[fold] for fold, size in full.items())
    return Panel(
        rows,
        tuple(
            replace(
                _measured(info, by_candidate[info.name], full, drawn, rows),
                scenes=tuple(run for run in by_candidate[info.name] if not _plain(run)),
                everywhere=everywhere,
            )
            for info in evidence.candidates
        ),
        labelled=evidence.rows,
        dated=evidence.dated,
        learnt=max(full.values(), default=0),
        pool=max(evidence.pool_rows, default=0),
    )


def _plain(run: Run) -> bool:
    """Return whether a run asks the study's rows, as the division has them."""
    return run.trial.scenario.kind in ("standard", "noise")


def _joined(evidence: Evidence) -> Items:
    items, pool = evidence.items, evidence.pool
    return Items(
        ids=items.ids + pool.ids,
        targets=items.targets + pool.targets,
        clusters=items.clusters + pool.clusters,
        weights=items.weights if not pool.ids else (),
        conflicting=items.conflicting | pool.conflicting,
    )


def _rows(evidence: Evidence, items: Items, measure: Measure) -> Rows:
    code = {label: i for i, label in enumerate(evidence.labels)}
    alone = len(set(items.clusters)) == len(items.ids)
    even = len(set(items.weights)) <= 1
    targets = np.array([code[target] for target in items.targets], dtype=np.int64)
    stated = None if even else np.array(items.weights, dtype=np.float64)
    return Rows(
        index={id: i for i, id in enumerate(items.ids)},
        targets=targets,
        labels=evidence.labels,
        clusters=None if alone else items.clusters,
        weights=measure.weights(targets, stated),
        conflicting=np.array([id in items.conflicting for id in items.ids], dtype=np.bool_),
        credit=measure.credit(evidence.labels),
        even=measure.metric == "balanced",
    )


def _measured(
    info: CandidateInfo, runs: Sequence[Run], full: Mapping[int, int], drawn: bool, rows: Rows
) -> Measured:
    cells: dict[tuple[str, str, str, float, int], list[Run]] = defaultdict(list)
    for run in filter(_plain, runs):
        trial = run.trial
        size = 0 if trial.train_size == full.get(trial.fold) else trial.train_size
        noise = (trial.scenario.noise, trial.scenario.rate)
        added = noise if trial.scenario.kind == "noise" else ("", 0.0)
        cells[(trial.variant, trial.scenario.kind, *added, size)].append(run)
    tables = {cell: found for cell, part in cells.items() if (found := table_of(part, rows))}
    main = ("", "standard", "", 0.0, 0)
    return Measured(
        info=info,
        main=tables.get(main),
        drawn=drawn,
        pool=max(full.values(), default=0),
        wordings={v: t for (v, *rest), t in tables.items() if rest == ["standard", "", 0.0, 0]},
        noise={
            (kind, rate): t
            for (v, scenario, kind, rate, size), t in tables.items()
            if scenario == "noise" and not v and not size
        },
        sizes={
            size: t
            for (v, scenario, _, _, size), t in tables.items()
            if scenario == "standard" and not v and size
        },
        errors=_errors(runs),
        failures=sum(bool(run.error) for run in cells[main]),
    )


def _errors(runs: Sequence[Run]) -> tuple[str, ...]:
    counts = Counter(run.error for run in runs if run.error)
    return tuple(
        f"{count} of {len(runs)} trials failed: {error}" for error, count in counts.most_common()
    )
