"""A simulated study as `choose compare` would have left it on disk, judged from there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from choose.api.compare import report
from choose.judge.evidence import RULE, CandidateInfo, Evidence
from choose.schema.decision import Decision
from choose.store.store import Store
from choose.types import Dataset, Example, Fold, Task

# What a store knows of a study and its evidence alone does not, or the other way round: the names
# and texts of the data, how it was run, and the versions that it was run with.
ELSEWHERE = {"dataset", "method", "machine"}


def judged_on_disk(study: Evidence, stated: Mapping[str, Any]) -> Decision:
    """Write a study into a store, and judge what is read back.

    Args:
        study: what was measured.
        stated: the ``goal`` and ``costs`` of the study file.
    """
    with TemporaryDirectory() as folder:
        store = Store.create(Path(folder) / "store")
        store.begin({"rule": RULE, **stated}, _dataset(study))
        store.plan((run.trial for run in study.runs), (_planned(c) for c in study.candidates))
        for run in study.runs:
            store.add(run)
        return report(store.path)


def differences(a: Decision, b: Decision) -> list[str]:
    """Return the parts of two decisions that are not the same."""
    left, right = (decision.model_dump(exclude=ELSEWHERE) for decision in (a, b))
    return [part for part, value in left.items() if value != right[part]]


def _planned(candidate: CandidateInfo) -> dict[str, Any]:
    names = ("name", "strategy", "family", "model", "cheap", "seeded", "learns")
    return {name: getattr(candidate, name) for name in names}


def _dataset(study: Evidence) -> Dataset:
    """Return rows whose texts say nothing, in the folds that were asked."""
    items = study.items
    asked = {
        id: Example(id=id, text=f"text of {id}", target=target)
        for id, target in zip(items.ids, items.targets, strict=True)
    }
    most = max(study.pool_rows)
    learnt = {
        f"p{i}": Example(id=f"p{i}", text=f"text of p{i}", target=study.labels[0])
        for i in range(most)
    }
    pool = tuple(learnt)
    return Dataset(
        name=study.name,
        task=Task(labels=study.labels, names=study.labels),
        examples={**asked, **learnt},
        folds=tuple(
            Fold(pool=pool[:size], questions=questions)
            for size, questions in zip(study.pool_rows, _questions(study), strict=True)
        ),
        division="held-out" if study.division == "held-out" else "cross-fit",
        clusters=dict(zip(items.ids, items.clusters, strict=True)),
    )


def _questions(study: Evidence) -> Iterator[tuple[str, ...]]:
    """Yield the ids that each fold asks: those of the fold's fits that asked most."""
    for fold in range(len(study.pool_rows)):
        asked = [run.asked["clean", 0] for run in study.runs if run.trial.fold == fold]
        yield max(asked, key=len)
