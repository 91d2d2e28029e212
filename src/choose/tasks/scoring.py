"""Score answers once: facts of a run, by metric, for tasks whose answers are no labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from numbers import Real

import numpy as np

from choose.corpus import UPDATED, is_drill
from choose.errors import ChooseError, StudyError
from choose.files import digest
from choose.types import Answers, Dataset, Example, Floats, Run, Task

# The headline metric where unusable answers are repaired first; shown beside the strict score.
LENIENT = "lenient"


def scored(run: Run, dataset: Dataset) -> Run:
    """Return a run with the scores of all its answers; as it is where answers are labels.

    Answers from documents that changed have other targets, so they get no scores here.

    Raises:
        StudyError: if a metric gives what is no score.
    """
    if dataset.task.labels or run.trial.scenario.kind == UPDATED:
        return run
    scores = dict(run.scores)
    for view, answers in run.answers.items():
        if is_drill(view[0]):
            continue
        if view not in scores or len(next(iter(scores[view].values()))) != len(answers):
            rows = [dataset.examples[id] for id in run.asked[view]]
            scores[view] = scores_of(dataset.task, answers, rows)
    return replace(run, scores=scores)


def scores_of(task: Task, answers: Answers, rows: Sequence[Example]) -> dict[str, Floats]:
    """Return (n,) scores of answers to these rows: every metric of the task, and `LENIENT`.

    Raises:
        StudyError: if a metric gives what is no score.
    """
    columns: dict[str, list[float]] = {name: [] for name in (*task.metrics, LENIENT)}
    raw = answers.raw or (None,) * len(answers)
    for output, written, row in zip(answers.outputs, raw, rows, strict=True):
        found = score(task, output, row.targets)
        for name in task.metrics:
            columns[name].append(found[name])
        repaired = task.lenient(written) if output is None and written is not None else None
        if repaired is not None:
            found = score(task, repaired, row.targets)
        columns[LENIENT].append(found[task.metrics[0]])
    return {name: np.array(values, dtype=np.float64) for name, values in columns.items()}


def score(task: Task, output: str | None, targets: Sequence[str]) -> Mapping[str, float]:
    """Return each metric of one answer, checked.

    Raises:
        StudyError: if a metric fails, or gives what is no number from 0 to 1.
    """
    try:
        scores = task.score(output, targets)
    except ChooseError:
        raise
    except Exception as error:
        what = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise StudyError(
            f"A metric of this task failed ({what}). Mend it, then run again."
        ) from error
    for name in task.metrics:
        value = scores.get(name)
        if not isinstance(value, Real) or not 0 <= value <= 1:
            raise StudyError(
                f"The metric {name!r} gave {str(value)[:80]!r}; it must give a number from 0 to 1."
            )
    return scores


def scoring_digest(dataset: Dataset, ids: Sequence[str]) -> str:
    """Return what identifies the scores of answers to these rows: the rule and the targets."""
    return digest([dataset.task.scoring, [dataset.examples[id].targets for id in ids]])
