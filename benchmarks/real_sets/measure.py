"""One fit: learn from a pool, ask the test rows, keep which answers are right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter, process_time
from typing import Any

import numpy as np

from choose.run.timed_predict import Deadline
from choose.run.trial import run_trial
from choose.strategy import find
from choose.study.grid import Job
from choose.types import STANDARD, Dataset, Run, Trial
from real_sets.candidates import KINDS
from real_sets.packed import pack

CLEAN = ("clean", 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """What is fitted and asked: a candidate on the first `size` labels of a draw of a set's pool.

    `part` is the part of the asked rows; the same fit may be made again to ask it another.
    """

    set: str
    candidate: str
    size: int
    draw: int
    part: int = 0

    @property
    def name(self) -> str:
        """Return what its file is called."""
        return f"{self.set}-{self.candidate.replace(' ', '_')}-{self.size}-{self.draw}"


def trial_of(fit: Fit) -> Trial:
    """Return the trial that a study would run; the draw is its seed, where a seed matters."""
    kind = KINDS[fit.candidate]
    return Trial(
        candidate=fit.candidate,
        strategy=kind.strategy,
        revision=find(kind.strategy).revision,
        params=kind.params,
        variant="",
        scenario=STANDARD,
        fold=0,
        draw=fit.draw,
        train_size=fit.size,
        seed=fit.draw if kind.seeded else 0,
        weights="",
        task="",
        pool="",
        questions="",
    )


def measure(fit: Fit, dataset: Dataset, deadline: float) -> Mapping[str, Any] | None:
    """Return the record of a fit, or None if the deadline (of `perf_counter`) came before its end.

    The record says who was fitted to what, which answers were right and what it took.
    """
    # Looking at the clock between questions would cost the cheap ones more than they take.
    until = None if KINDS[fit.candidate].every_row else Deadline(deadline, deadline)
    start, worked = perf_counter(), process_time()
    run = run_trial(Job(trial=trial_of(fit)), dataset, until)
    if run.unasked:
        return None
    share = min(1.0, (process_time() - worked) / (perf_counter() - start))
    ids = run.asked[CLEAN]
    targets = np.array([dataset.examples[id].target for id in ids])
    right = np.array(run.answers[CLEAN].outputs) == targets
    place = {id: i for i, id in enumerate(dataset.folds[0].questions)}
    bits = np.zeros(len(ids), dtype=np.bool_)
    bits[[place[id] for id in ids]] = right
    return {
        "candidate": fit.candidate,
        "size": fit.size,
        "draw": fit.draw,
        "part": fit.part,
        "right": pack(bits),
        "rows": len(ids),
        **_took(run, len(ids), share),
    }


def _took(run: Run, rows: int, share: float) -> dict[str, Any]:
    """Return what a fit took of one core, for other programs may have had it for a while."""
    assert run.fit_seconds is not None
    assert run.predict_seconds is not None
    return {
        "fit_seconds": round(share * run.fit_seconds, 4),
        "ms_per_item": round(1000 * share * run.predict_seconds / rows, 4),
        "seconds_spent": round(run.seconds_spent or 0.0, 2),
        "revision": run.trial.revision,
        "dtype": run.dtype,
    }
