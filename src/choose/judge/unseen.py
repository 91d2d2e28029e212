"""What candidates answer to labelled rows that their fit never saw, for audits of the labels.

In a cross-fit division these are the clean answers themselves. With a test part they are the
``inner`` trials, which ask the pool in folds, so that nothing learnt here was chosen on test rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from choose.judge.evidence import Evidence
from choose.judge.metrics import UNUSABLE, Codes
from choose.types import Floats, Run

CLEAN = ("clean", 0)


@dataclass(frozen=True)
class Unseen:
    """Out-of-fold answers of one candidate, one row a labelled row, first repetition only.

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
        """Return (n,) whether the answer is the label as given."""
        return np.asarray(self.outputs == self.targets, dtype=np.bool_)


def unseen(evidence: Evidence, candidate: str) -> Unseen | None:
    """Return a candidate's out-of-fold answers, or None where it has none."""
    runs = [run for run in evidence.runs if _counts(run, evidence, candidate)]
    if not runs:
        return None
    code: dict[str | None, int] = {label: i for i, label in enumerate(evidence.labels)}
    targets: dict[str, str] = {}
    for items in (evidence.items, evidence.pool):
        targets.update(zip(items.ids, items.targets, strict=True))
    ids = [id for run in runs for id in run.asked[CLEAN]]
    answers = [run.answers[CLEAN] for run in runs]
    scored = [a.scores for a in answers if a.scores is not None]
    found = [e for a in answers for e in (a.evidence or ((),) * len(a))]
    return Unseen(
        ids=tuple(ids),
        targets=np.array([code[targets[id]] for id in ids], dtype=np.int64),
        outputs=np.array(
            [code.get(output, UNUSABLE) for a in answers for output in a.outputs], dtype=np.int64
        ),
        scores=np.exp(np.concatenate(scored)) if len(scored) == len(answers) else None,
        evidence=tuple(found),
    )


def _counts(run: Run, evidence: Evidence, candidate: str) -> bool:
    trial = run.trial
    kind = "standard" if evidence.division == "cross-fit" else "inner"
    whole = kind == "inner" or trial.train_size >= _largest(evidence, trial.fold)
    return (
        trial.candidate == candidate
        and trial.scenario.kind == kind
        and not trial.variant
        and trial.draw == 0
        and run.error is None
        and CLEAN in run.answers
        and whole
    )


def _largest(evidence: Evidence, fold: int) -> int:
    sizes = [
        run.trial.train_size
        for run in evidence.runs
        if run.trial.fold == fold and run.trial.scenario.kind == "standard"
    ]
    return max(sizes)
