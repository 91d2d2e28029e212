"""Stored answers that nobody gathered: sets whose true accuracies are known."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from replay.answers import FORMAT, Answered, Fitted, pack, text_of
from replay.candidates import KINDS
from replay.plan import CHEAP, DRAWS, SIZES

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
}


def answered(
    accuracy: Mapping[str, float], rows: int = 1600, few: int = 800, seed: int = 0
) -> Answered:
    """Make a set of known accuracies, where the fits of a candidate share 7 in 10 answers."""
    rng = np.random.default_rng(seed)
    asked = np.zeros(rows, dtype=np.bool_)
    asked[rng.permutation(rows)[:few]] = True
    return Answered(
        name=f"made {seed}",
        labels=4,
        pool=5000,
        hashes={},
        fits=tuple(_fits(accuracy, asked, rng)),
    )


def _fits(accuracy, asked, rng):
    rows = len(asked)
    shared = rng.random(rows)
    for name, level in accuracy.items():
        own = rng.random(rows)
        base = np.where(rng.random(rows) < 0.5, shared, own) < level
        for size in SIZES[:1] if KINDS[name].any_size else SIZES:
            for draw in range(5 if name in CHEAP else DRAWS):
                again = rng.random(rows) < level
                right = np.where(rng.random(rows) < 0.7, base, again)
                yield Fitted(
                    candidate=name,
                    size=size,
                    draw=draw,
                    asked=asked | KINDS[name].every_row,
                    right=right,
                    fit_seconds=SECONDS[name] / 2,
                    ms_per_item=SECONDS[name] / 2,
                )


def write(made: Answered, folder: Path) -> None:
    """Write a made set as the packing program would, the asked rows in two parts."""
    rows = np.zeros_like(made.fits[0].asked)
    few = next((f.asked for f in made.fits if not KINDS[f.candidate].every_row), ~rows)
    first = few & (np.cumsum(few) <= few.sum() // 2)
    head = {
        "format": FORMAT,
        "set": made.name,
        "sha256": made.hashes,
        "labels": made.labels,
        "pool": made.pool,
        "rows": len(rows),
        "parts": [pack(first), pack(few & ~first)],
    }
    records = []
    for fit in made.fits:
        kind = KINDS[fit.candidate]
        parts = [fit.asked] if kind.at_once else [first, few & ~first]
        for number, part in enumerate(parts):
            bits = {"right": pack(fit.right[part]), "rows": int(part.sum()), "part": number}
            records.append({k: v for k, v in vars(fit).items() if k != "asked"} | bits)
    folder.mkdir(exist_ok=True)
    (folder / f"{made.name}.json").write_text(text_of(head, records))
