"""Studies as evidence, by hand: scripted answers, and probabilities for the label audit."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from choose.judge.evidence import CandidateInfo, Evidence, Items
from choose.types import STANDARD, Answers, Family, Run, Scenario
from support.studies import plain_trial

Said = Sequence[str | None]


@dataclass(frozen=True, kw_only=True)
class ScriptedCandidate:
    """A candidate and its answers."""

    name: str
    family: Family
    said: Said
    scores: np.ndarray | None = None
    model: str | None = None
    cheap: bool = True
    seconds: float = 1.0


def player(name: str, said: Said, family: Family = "baseline", **more: Any) -> ScriptedCandidate:
    return ScriptedCandidate(name=name, family=family, said=said, **{"model": name, **more})


def laid_out(
    items: Items,
    infos: Iterable[CandidateInfo],
    runs: Iterable[Run],
    labels: Sequence[str] = (),
    **facts: Any,
) -> Evidence:
    """Return runs of candidates on the same rows as evidence; a pool is as large as the rows."""
    rows = facts.pop("rows", len(items.ids))
    usual = {"name": "made", "fingerprint": "0" * 32, "division": "held-out", "pool_rows": (rows,)}
    return Evidence(
        items=items,
        candidates=tuple(infos),
        runs=tuple(runs),
        labels=tuple(labels),
        rows=rows,
        **{**usual, **facts},
    )


def study(labels, targets, players, *, clusters=None):
    """Lay answers out as evidence of a cross-fit study."""
    ids = tuple(f"r{i}" for i in range(len(targets)))
    items = Items(ids=ids, targets=tuple(map(str, targets)), clusters=tuple(clusters or ids))
    infos = [
        CandidateInfo(
            name=p.name,
            strategy=p.name,
            family=p.family,
            model=p.model,
            cheap=p.cheap,
            constant=p.name == "majority",
            floor=p.name == "majority",
        )
        for p in players
    ]
    runs = [_run_of(p, ids) for p in players]
    none = Items(ids=(), targets=(), clusters=())
    return laid_out(items, infos, runs, labels=labels, division="cross-fit", pool=none)


def _run_of(p: ScriptedCandidate, ids: tuple[str, ...]) -> Run:
    answers = Answers(
        outputs=tuple(p.said),
        status=tuple("ok" if output is not None else "off-list" for output in p.said),
        scores=p.scores,
    )
    return Run(
        trial=plain_trial(p.name, train_size=len(ids)),
        asked={("clean", 0): ids},
        answers={("clean", 0): answers},
        fit_seconds=p.seconds,
        predict_seconds=p.seconds * len(ids) / 1000,
    )


def cut(seen: Evidence, name: str, rows: int) -> Evidence:
    kept = set(seen.items.ids[:rows])

    def shorter(run: Run) -> Run:
        if run.trial.candidate != name:
            return run
        asked = run.asked["clean", 0]
        places = [i for i, id in enumerate(asked) if id in kept]
        answers = run.answers["clean", 0]
        short = replace(
            answers,
            outputs=tuple(answers.outputs[i] for i in places),
            status=tuple(answers.status[i] for i in places),
            scores=None if answers.scores is None else answers.scores[places],
        )
        return replace(
            run,
            answers={("clean", 0): short},
            asked={("clean", 0): tuple(asked[i] for i in places)},
        )

    return replace(seen, runs=tuple(map(shorter, seen.runs)))


def scores(labels: str, said: Said, sure: Sequence[float]) -> np.ndarray:
    """Return log-probabilities: `sure` for the answer, the rest spread evenly."""
    rest = (1 - np.asarray(sure, dtype=float)) / (len(labels) - 1)
    found = np.repeat(rest[:, None], len(labels), axis=1)
    found[np.arange(len(said)), [labels.index(str(s)) for s in said]] = sure
    return np.log(found)


def evidence(targets, probabilities, labels, *, held_out=False, items=None, **candidate):
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
    return laid_out(
        asked,
        infos,
        runs,
        labels=labels,
        rows=len(targets) + (2 if held_out else 0),
        division="held-out" if held_out else "cross-fit",
        pool=rows if held_out else Items(ids=(), targets=(), clusters=()),
        pool_rows=(len(targets),),
    )


def run(name, ids, probabilities, labels, inner):
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


def blobs(rng, rows, labels, apart):
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
