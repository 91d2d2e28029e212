"""Small studies for tests: real strategies on rows that anything can learn."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from choose.api.compare import Outcome, run_study
from choose.api.plan import plan_trials, resolve
from choose.conformance import pool
from choose.data.scenarios import Pools
from choose.data.splits import build_dataset
from choose.schema.plan import Job
from choose.study.config import CandidateSection, Grid, Study
from choose.study.study_file import Overrides
from choose.types import STANDARD, Dataset, Trial

# A study file with rows held out and first passes alone; [grid] is open at its end.
HELD_OUT = """
[data]
path = "words.csv"
test = "held_out.csv"
[grid]
seeds = 1
noise = [0.0]
views = []
wordings = false
scenarios = []
"""


def dataset(rows: int = 60) -> Dataset:
    return build_dataset("words", pool(seed=3, rows=rows))


def study(*strategies: str, **grid: object) -> Study:
    return Study(
        candidates=tuple(CandidateSection(strategy=s) for s in strategies or ("tfidf",)),
        grid=Grid.model_validate({"seeds": 2, "noise": (0.0,), **grid}),
    )


def jobs_of(study: Study, data: Dataset) -> list[Job]:
    return plan_trials(study, Pools(data)).jobs


def compare(
    data: str | Path | None = None,
    *,
    study_file: str | Path | Mapping[str, Any] | None = None,
    overrides: Overrides | None = None,
    strategies: Sequence[str] = (),
    **settings: Any,
) -> Outcome:
    """Resolve and run a study as the command line does; `settings` go to `run_study`."""
    return run_study(resolve(data, study_file, overrides, strategies), **settings)


def write_csv(path: Path, rows: Sequence[tuple[str, str]] | None = None) -> Path:
    rows = rows or [(e.text, e.target) for e in pool(seed=3, rows=60)]
    lines = ["text,label", *(f'"{text}",{label}' for text, label in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def plain_trial(candidate: str, draw: int = 0, **facts: Any) -> Trial:
    """Return a trial of a candidate that is its own strategy; the draw is its seed."""
    usual = {
        "strategy": candidate,
        "revision": 1,
        "params": {},
        "variant": "",
        "scenario": STANDARD,
        "fold": 0,
        "train_size": 50,
        "seed": draw,
        "weights": "",
        "task": "",
        "pool": "",
        "questions": "",
    }
    return Trial(candidate=candidate, draw=draw, **{**usual, **facts})
