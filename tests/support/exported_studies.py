"""A small study of every kind of strategy, on models of a few thousand weights."""

from pathlib import Path

import pytest
from filelock import FileLock

from support import tiny_models as tiny
from support.studies import compare, write_csv

STRATEGIES = ("tfidf", "probe", "knn", "prompt", "few-shot", "retrieval", "lora")


def small_study(folder: Path, *strategies: str) -> Path:
    """Run a study of 60 rows in five folds and return its store; the rows are ``words.csv``."""
    data = write_csv(folder / "words.csv")
    lm, encoder = tiny.causal_lm(folder / "lm"), tiny.encoder(folder / "encoder")
    # Answers after a third of LoRA's usual steps are stored, exported and made again as any are.
    candidates = [
        {"strategy": name, "params": {"epochs": 8.0} if name == "lora" else {}}
        for name in strategies or STRATEGIES
    ]
    outcome = compare(
        data,
        study_file={"candidates": candidates},
        overrides={
            "models": {"model": str(lm), "tune": str(lm), "encoder": str(encoder)},
            "grid": {
                "seeds": 1,
                "noise": (0.0,),
                "views": (),
                "scenarios": (),
                "wordings": False,
                "budget_seconds": None,
            },
        },
        out=folder / "st",
    )
    return outcome.store


def shared_study(places: pytest.TempPathFactory) -> Path:
    """Return the study of every kind of strategy; whoever needs it first runs it for all workers.

    It takes many seconds. Tests must leave it as it is.
    """
    own = places.getbasetemp()
    root = own.parent if own.name.startswith("popen-") else own
    with FileLock(root / "shared_study.lock"):
        folder = root / "shared_study"
        if not (folder / "st" / "decision.json").exists():
            folder.mkdir()
            small_study(folder)
    return folder / "st"
