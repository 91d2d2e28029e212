"""Out-of-fold answers to labelled rows, for audits of the labels; random parts for cross-fitting.

In a cross-fit division these are the clean answers. With a test part they come from the ``inner``
trials, cross-validation inside the training pool, so that no test row is used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from choose.judge.evidence import Evidence
from choose.stats.metrics import UNUSABLE, Codes
from choose.types import Floats, Run

CLEAN = ("clean", 0)


@dataclass(frozen=True)
class OutOfFold:
    """Out-of-fold answers of one candidate, one row a labelled row, one repetition only.

    Attributes:
        ids: (n,) the rows.
        targets: (n,) codes of their labels as given.
        outputs: (n,) codes of the answers, `UNUSABLE` where there is none.
        scores: (n, labels) probabilities, or None where a candidate gives no scores.
        evidence: ids retrieved by row, empty where nothing is retrieved.
    """

    ids: tuple[str, ...]
    targets: Codes
    outputs: Codes
    scores: Floats | None
    evidence: tuple[tuple[str, ...], ...]

    @property
    def right(self) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        return np.asarray(self.outputs == self.targets, dtype=np.bool_)


def out_of_fold(evidence: Evidence, candidate: str) -> OutOfFold | None:
    """Return the out-of-fold answers of a candidate's first repetition; None where it has none."""
    runs = out_of_fold_runs(evidence, candidate)
    return _joined(runs, _codes(evidence), targets(evidence)) if runs else None


def _codes(evidence: Evidence) -> dict[str | None, int]:
    return {label: code for code, label in enumerate(evidence.labels)}


def _joined(
    runs: Sequence[Run], code: Mapping[str | None, int], target_of: Mapping[str, str]
) -> OutOfFold:
    ids = [id for run in runs for id in run.asked[CLEAN]]
    answers = [run.answers[CLEAN] for run in runs]
    scored = [a.scores for a in answers if a.scores is not None]
    shown = [e for a in answers for e in (a.evidence or ((),) * len(a))]
    return OutOfFold(
        ids=tuple(ids),
        targets=np.array([code[target_of[id]] for id in ids], dtype=np.int64),
        outputs=np.array(
            [code.get(output, UNUSABLE) for a in answers for output in a.outputs], dtype=np.int64
        ),
        scores=np.exp(np.concatenate(scored)) if len(scored) == len(answers) else None,
        evidence=tuple(shown),
    )


def out_of_fold_runs(evidence: Evidence, candidate: str) -> list[Run]:
    """Return the runs of a candidate's first repetition with out-of-fold answers."""
    runs = _answered(evidence, candidate)
    return [run for run in runs if (run.trial.draw, run.trial.variant) == (0, "")]


def targets(evidence: Evidence) -> dict[str, str]:
    """Return the given label of every row, test row or training pool, by id."""
    labels: dict[str, str] = {}
    for items in (evidence.items, evidence.pool):
        labels.update(zip(items.ids, items.targets, strict=True))
    return labels


def _answered(evidence: Evidence, candidate: str) -> list[Run]:
    kind = "standard" if evidence.division == "cross-fit" else "inner"
    runs = [
        run
        for run in evidence.runs
        if run.trial.candidate == candidate
        and run.trial.scenario.kind == kind
        and run.error is None
        and CLEAN in run.answers
    ]
    if kind == "inner" or not runs:
        return runs
    largest = _largest(evidence)
    return [run for run in runs if run.trial.train_size >= largest[run.trial.fold]]


def _largest(evidence: Evidence) -> dict[int, int]:
    sizes: dict[int, int] = {}
    for run in evidence.runs:
        if run.trial.scenario.kind == "standard":
            fold = run.trial.fold
            sizes[fold] = max(sizes.get(fold, 0), run.trial.train_size)
    return sizes


def random_parts(rows: int, clusters: Sequence[str] | None, parts: int) -> Codes:
    """Return (rows,) a random part for each row, the same for all rows of a cluster."""
    names = np.arange(rows).astype(str) if clusters is None else np.asarray(clusters)
    distinct, place = np.unique(names, return_inverse=True)
    order = np.random.default_rng(len(distinct)).permutation(len(distinct)) % parts
    return np.asarray(order[place], dtype=np.int64)
