"""What the judge would have been given of a decision: the runs of its study, rebuilt."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from choose.judge.evidence import CandidateInfo, Evidence, Items
from choose.strategy import find
from choose.types import STANDARD, Answers, Run, Status, Trial
from real_sets.candidates import KINDS
from real_sets.packed import Bits
from replays.occasions import Occasion
from replays.stored import Fitted

CLEAN = ("clean", 0)
OK: tuple[Status, ...] = ("ok",)


def evidence(occasion: Occasion) -> Evidence:
    """Rebuild a study.

    No label is stored. Stand-ins are dealt out evenly over the rows, and a wrong answer is the
    stand-in after the right one. So macro-F1, recall by class and whatever else looks at classes
    means nothing here. No recommendation depends on it; that a choice would fall if every label
    counted the same cannot be seen here, which at most would lower a confidence.
    """
    answered, rows = occasion.answered, occasion.rows
    labels = tuple(f"label {i}" for i in range(answered.labels))
    # A row that is drawn twice is asked twice.
    ids = tuple(f"row {n}" for n in range(len(rows)))
    return Evidence(
        name=answered.name,
        fingerprint="0" * 32,
        rows=len(rows) + (answered.pool if occasion.drawn else occasion.size),
        labels=labels,
        division="held-out",
        items=Items(ids=ids, targets=_targets(labels, len(rows)), clusters=ids),
        candidates=tuple(info(name) for name in occasion.draws),
        pool_rows=(answered.pool if occasion.drawn else occasion.size,),
        runs=tuple(_runs(occasion, ids, labels)),
        dated=0,
    )


def info(name: str) -> CandidateInfo:
    """Return what the judge is told of a candidate."""
    kind = KINDS[name]
    cls = find(kind.strategy)
    return CandidateInfo(
        name=name,
        strategy=kind.strategy,
        family=kind.family,
        model=kind.model,
        cheap=cls.cheap,
        seeded=cls.seeded,
        learns=cls.learns,
    )


def _targets(labels: tuple[str, ...], rows: int) -> tuple[str, ...]:
    return tuple(labels[i % len(labels)] for i in range(rows))


def _runs(occasion: Occasion, ids: tuple[str, ...], labels: tuple[str, ...]) -> Iterator[Run]:
    for name, draws in occasion.draws.items():
        for size in (occasion.size, *occasion.smaller):
            fits = occasion.answered.fitted(name, size)
            for draw in draws:
                # A smaller pool may not have been tried as often.
                if draw in fits:
                    trial = _trial(name, size, draw)
                    yield _run(trial, fits[draw], fits[draw].right[occasion.rows], ids, labels)


def _trial(name: str, size: int, draw: int) -> Trial:
    kind = KINDS[name]
    cls = find(kind.strategy)
    return Trial(
        candidate=name,
        strategy=kind.strategy,
        revision=cls.revision,
        params=kind.params,
        variant="",
        scenario=STANDARD,
        fold=0,
        draw=draw,
        train_size=size,
        seed=draw if cls.seeded else 0,
        weights="",
        task="",
        # Every fit has a pool of its own, and so a key of its own.
        pool=f"{size} {draw}",
        questions="",
    )


def _run(
    trial: Trial, fit: Fitted, right: Bits, ids: tuple[str, ...], labels: tuple[str, ...]
) -> Run:
    places = (np.arange(len(ids)) + ~right) % len(labels)
    outputs = tuple(np.array(labels, dtype=object)[places].tolist())
    predicted = fit.ms_per_item * len(ids) / 1000
    return Run(
        trial=trial,
        asked={CLEAN: ids},
        answers={CLEAN: Answers(outputs=outputs, status=OK * len(ids))},
        fit_seconds=fit.fit_seconds,
        predict_seconds=predicted,
        seconds_alone=fit.fit_seconds + predicted,
        seconds_spent=fit.fit_seconds + predicted,
    )
