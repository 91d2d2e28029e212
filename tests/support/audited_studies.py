"""Studies for the label audit: real or simulated out-of-fold probabilities as evidence."""

from collections.abc import Mapping, Sequence

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from choose.judge.evidence import CandidateInfo, Evidence, Items
from choose.types import STANDARD, Answers, Run, Scenario
from support.studies import plain_trial


def evidence(
    targets: Sequence[str],
    probabilities: Mapping[str, np.ndarray],
    labels: Sequence[str],
    *,
    held_out: bool = False,
    items: Mapping[str, object] | None = None,
    **candidate: object,
) -> Evidence:
    """Return a cross-fit study of one fold, or one whose pool alone was answered out of fold."""
    ids = tuple(f"r{i}" for i in range(len(targets)))
    rows = Items(ids=ids, targets=tuple(targets), clusters=ids, **(items or {}))
    runs = [run(name, ids, p, labels, held_out) for name, p in probabilities.items()]
    asked = rows
    if held_out:
        test = ("t0", "t1")
        asked = Items(ids=test, targets=(labels[0], labels[1]), clusters=test)
        runs += [run(n, test, np.eye(len(labels))[:2], labels, False) for n in probabilities]
    infos = tuple(
        CandidateInfo(name=name, strategy=name, family="baseline", **candidate)
        for name in probabilities
    )
    return Evidence(
        name="world",
        fingerprint="0" * 32,
        rows=len(targets) + (2 if held_out else 0),
        labels=tuple(labels),
        division="held-out" if held_out else "cross-fit",
        items=asked,
        pool=rows if held_out else Items(ids=(), targets=(), clusters=()),
        candidates=infos,
        pool_rows=(len(targets),),
        runs=tuple(runs),
    )


def run(
    name: str, ids: Sequence[str], probabilities: np.ndarray, labels: Sequence[str], inner: bool
) -> Run:
    """Return one finished trial with these probabilities."""
    trial = plain_trial(
        name, scenario=Scenario(kind="inner") if inner else STANDARD, train_size=100
    )
    return Run(
        trial=trial,
        asked={("clean", 0): tuple(ids)},
        answers={
            ("clean", 0): Answers.from_scores(labels, np.log(np.maximum(probabilities, 1e-9)))
        },
        fit_seconds=1.0,
        predict_seconds=0.1,
        seconds_alone=1.0,
        seconds_spent=1.0,
    )


def blobs(
    rng: np.random.Generator, rows: int, labels: int, apart: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (rows, 12) features of unequal difficulty, true labels and the nearest others."""
    centres = apart * np.random.default_rng(7).normal(size=(labels, 12))
    truth = rng.integers(0, labels, rows)
    width = (0.6 + 0.8 * rng.random(rows))[:, None]
    features = centres[truth] + width * rng.normal(size=(rows, 12))
    distance = ((features[:, None] - centres) ** 2).sum(axis=2)
    distance[np.arange(rows), truth] = np.inf
    return features, truth, distance.argmin(axis=1)


def hardness(features: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return (rows,) how unsure a model of the true labels is of each row."""
    return 1 - out_of_fold(features, truth)[np.arange(len(truth)), truth]


def out_of_fold(features: np.ndarray, targets: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return (rows, labels) probabilities of linear discriminants that never saw the row."""
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    return cross_val_predict(
        LinearDiscriminantAnalysis(), features, targets, cv=folds, method="predict_proba"
    )
