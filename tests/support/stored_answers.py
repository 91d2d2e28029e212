"""Stored answers that nobody gathered: sets whose true accuracies or mean scores are known."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from replay.answers import (
    FORMAT,
    SCORES_FORMAT,
    Answered,
    Fitted,
    kinds_by,
    pack,
    pack_scores,
    text_of,
)
from replay.plan import DRAWS, RECORD_SIZES, SIZES

SECONDS = {
    "majority": 0.01,
    "tfidf": 0.5,
    "knn": 4.0,
    "probe": 5.0,
    "lora": 60.0,
    "prompt": 100.0,
    "few-shot": 160.0,
    "retrieval": 300.0,
    "lora on the LM": 400.0,
    "empty": 0.01,
    "gazetteer": 0.1,
    "pattern": 0.2,
    "nearest": 0.3,
    "tagger": 0.6,
}

METRIC = "field-f1"

# Scores of a half, such as one of two values, are of so many answers.
HALVES = 0.3


def answered(
    accuracy: Mapping[str, float],
    rows: int = 1600,
    few: int = 800,
    seed: int = 0,
    metric: str | None = None,
) -> Answered:
    """Make a set of known accuracies, where the fits of a candidate share 7 in 10 answers.

    With a metric the answers are records of these mean scores, of which some are right by half.
    """
    rng = np.random.default_rng(seed)
    asked = np.zeros(rows, dtype=np.bool_)
    asked[rng.permutation(rows)[:few]] = True
    return Answered(
        name=f"made {seed}",
        labels=0 if metric else 4,
        pool=5000,
        hashes={},
        metric=metric,
        fits=tuple(_fits(accuracy, asked, rng, metric)),
    )


def _fits(accuracy, asked, rng, metric):
    rows, kinds = len(asked), kinds_by(metric)
    shared = rng.random(rows)
    for name, level in accuracy.items():
        own = rng.random(rows)
        uniform = np.where(rng.random(rows) < 0.5, shared, own)
        base = _scored(uniform, level, metric)
        sizes = RECORD_SIZES if metric else SIZES
        for size in sizes[:1] if kinds[name].any_size else sizes:
            for draw in range(5 if kinds[name].every_row else DRAWS):
                again = _scored(rng.random(rows), level, metric)
                scores = np.where(rng.random(rows) < 0.7, base, again)
                yield Fitted(
                    candidate=name,
                    size=size,
                    draw=draw,
                    scores=np.where(asked | kinds[name].every_row, scores, np.nan),
                    fit_seconds=SECONDS[name] / 2,
                    ms_per_item=SECONDS[name] / 2,
                )


def _scored(uniform, level, metric):
    """Return scores with this mean: 1 or 0, or a half too."""
    if metric is None:
        return (uniform < level).astype(np.float64)
    halves = min(HALVES, 2 * level, 2 * (1 - level))
    return np.where(
        uniform < level - halves / 2, 1.0, np.where(uniform < level + halves / 2, 0.5, 0.0)
    )


def write(made: Answered, folder: Path) -> None:
    """Write a made set as the packing program would, the asked rows in two parts."""
    rows = np.zeros_like(made.fits[0].asked)
    few = next((f.asked for f in made.fits if not made.kinds[f.candidate].every_row), ~rows)
    first = few & (np.cumsum(few) <= few.sum() // 2)
    head = {
        "format": SCORES_FORMAT if made.metric else FORMAT,
        "set": made.name,
        **({"metric": made.metric} if made.metric else {}),
        "sha256": made.hashes,
        "labels": made.labels,
        "pool": made.pool,
        "rows": len(rows),
        "parts": [pack(first), pack(few & ~first)],
    }
    records = []
    for fit in made.fits:
        kind = made.kinds[fit.candidate]
        parts = [fit.asked] if kind.at_once else [first, few & ~first]
        for number, part in enumerate(parts):
            packed = (
                {"scores": pack_scores(fit.scores[part])}
                if made.metric
                else {"right": pack(fit.scores[part] == 1)}
            )
            own = {"rows": int(part.sum()), "part": number}
            records.append({k: v for k, v in vars(fit).items() if k != "scores"} | packed | own)
    folder.mkdir(exist_ok=True)
    (folder / f"{made.name}.json").write_text(text_of(head, records))
