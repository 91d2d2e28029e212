"""Studies with scripted answers: rows, labels and the outputs of each candidate, by hand."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from choose.judge.evidence import CandidateInfo, Evidence, Items
from choose.types import Answers, Family, Run, Scenario
from support.studies import plain_trial

Said = Sequence[str | None]


@dataclass(frozen=True, kw_only=True)
class ScriptedCandidate:
    """A candidate and its answers, one sequence a repetition."""

    name: str
    family: Family
    said: Sequence[Said]
    scores: np.ndarray | None = None
    evidence: tuple[tuple[str, ...], ...] | None = None
    wordings: Sequence[Said] = ()
    model: str | None = None
    cheap: bool = True
    seconds: float = 1.0


def player(name: str, said: Said, family: Family = "baseline", **more: object) -> ScriptedCandidate:
    """Return a candidate that answers once."""
    return ScriptedCandidate(name=name, family=family, said=[said], model=name, **more)


def study(
    labels: str,
    targets: Said,
    players: Sequence[ScriptedCandidate],
    *,
    conflicting: Sequence[str] = (),
    clusters: Sequence[str] | None = None,
    inner: bool = False,
) -> Evidence:
    """Lay answers out as evidence: cross-fit, or inner trials on a pool of the same rows."""
    ids = tuple(f"r{i}" for i in range(len(targets)))
    items = Items(
        ids=ids,
        targets=tuple(str(t) for t in targets),
        clusters=tuple(clusters or ids),
        conflicting=frozenset(conflicting),
    )
    none = Items(ids=(), targets=(), clusters=())
    scenario = Scenario(kind="inner" if inner else "standard")
    return Evidence(
        name="answered",
        fingerprint="0" * 32,
        rows=len(ids),
        labels=tuple(labels),
        division="held-out" if inner else "cross-fit",
        items=none if inner else items,
        pool=items if inner else none,
        candidates=tuple(_info(p) for p in players),
        pool_rows=(len(ids),),
        runs=tuple(run for p in players for run in _runs(p, ids, scenario)),
    )


def scores(labels: str, said: Said, sure: Sequence[float]) -> np.ndarray:
    """Return log-probabilities: `sure` for the answer, the rest spread evenly."""
    rest = (1 - np.asarray(sure, dtype=float)) / (len(labels) - 1)
    found = np.repeat(rest[:, None], len(labels), axis=1)
    found[np.arange(len(said)), [labels.index(str(s)) for s in said]] = sure
    return np.log(found)


def _info(p: ScriptedCandidate) -> CandidateInfo:
    return CandidateInfo(
        name=p.name,
        strategy=p.name,
        family=p.family,
        model=p.model,
        cheap=p.cheap,
        seeded=len(p.said) > 1,
        constant=p.name == "majority",
        floor=p.name == "majority",
    )


def _runs(p: ScriptedCandidate, ids: tuple[str, ...], scenario: Scenario) -> list[Run]:
    places = [(draw, "", said) for draw, said in enumerate(p.said)]
    places += [(0, f"wording {i}", said) for i, said in enumerate(p.wordings)]
    return [
        Run(
            trial=plain_trial(
                p.name, draw, variant=variant, scenario=scenario, train_size=len(ids)
            ),
            asked={("clean", 0): ids},
            answers={("clean", 0): _answers(p, said)},
            fit_seconds=p.seconds,
            predict_seconds=p.seconds * len(ids) / 1000,
        )
        for draw, variant, said in places
    ]


def _answers(p: ScriptedCandidate, said: Said) -> Answers:
    return Answers(
        outputs=tuple(said),
        status=tuple("ok" if s is not None else "off-list" for s in said),
        scores=p.scores,
        evidence=p.evidence,
    )
