"""A judge's scores of all rows, corrected by people's scores of some: PPI++.

The mean of the judge's scores is corrected by how far they are off where people scored too
(Angelopoulos, Duchi and Zrnic 2023). Each row gets a score such that the mean over rows is that
estimate, and its variance that of the estimate.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from choose.errors import DataError, quoted
from choose.formatting import plural
from choose.tasks.scores import number_in
from choose.types import Dataset

if TYPE_CHECKING:
    from choose.answers.given import Given

# Fewer rows that people scored correct nothing: their mean varies by more than its estimate says.
FEWEST = 20

# What ends the name of a column with people's scores of a candidate.
_PEOPLE = re.compile(r"(.+?)[ _.-](?:people|human|humans)", re.IGNORECASE)

Scores = Mapping[str, float]


def corrected(given: Sequence[Given], dataset: Dataset) -> Iterator[Given]:
    """Yield the candidates, with judges' scores corrected by people's of a random part of the rows.

    Raises:
        DataError: if a score is no number from 0 to 1.
    """
    found = {one.name: _scores(one, dataset)[0] for one in given}
    people = {_whose(name): found[name] for name in found if _whose(name) in found}
    rated = {n: {i: s for i, s in own.items() if i in found[n]} for n, own in people.items()}
    weight = _weight(found, {n: own for n, own in rated.items() if len(own) >= FEWEST})
    for one in given:
        own = rated.get(one.name, {})
        if _whose(one.name) in found:
            continue
        if len(own) >= FEWEST:
            yield _corrected(one, found[one.name], own, weight)
        else:
            few = f"People scored {len(own)} rows of {one.name}; from {FEWEST} on they correct it."
            yield replace(one, notes=(*one.notes, few)) if own else one


def _whose(name: str) -> str:
    """Return the candidate that a column of people's scores is about, by its name; or nothing."""
    match = _PEOPLE.fullmatch(name)
    return match[1] if match else ""


def _corrected(one: Given, judged: Scores, rated: Scores, weight: float) -> Given:
    off = float(np.mean([score - weight * judged[id] for id, score in rated.items()]))
    share = len(rated) / len(judged)
    scores = {id: weight * score + off for id, score in judged.items()}
    scores |= {id: scores[id] + (score - scores[id]) / share for id, score in rated.items()}
    [number, draw] = next(iter(one.draws.items()))
    cells = tuple(f"{scores[id]:.9g}" if id in scores else None for id in draw.ids)
    note = (
        f"The judge's scores of {plural(len(judged), 'row')} of {one.name} (mean "
        f"{np.mean([*judged.values()]):.3f}) are corrected by people's of {len(rated):,} "
        f"({np.mean([*rated.values()]):.3f}) to {np.mean([*scores.values()]):.3f} (PPI++)."
    )
    return replace(one, draws={number: replace(draw, cells=cells)}, notes=(*one.notes, note))


def _weight(judged: Mapping[str, Scores], rated: Mapping[str, Scores]) -> float:
    """Return the weight of the judge, from 0 to 1, at which differences vary least."""
    together = spread = 0.0
    for a, b in list(combinations(sorted(rated), 2)) or [(name, "") for name in rated]:
        own, other = rated[a], rated.get(b)
        ids = sorted(own.keys() & other.keys()) if other is not None else [*own]
        every = sorted(judged[a].keys() & judged[b].keys()) if other is not None else [*judged[a]]
        if min(len(ids), len(every) - len(ids)) < 2:
            continue
        people = [own[id] - (other or {}).get(id, 0.0) for id in ids]
        judge = {id: judged[a][id] - judged.get(b, {}).get(id, 0.0) for id in every}
        together += float(np.cov(people, [judge[id] for id in ids])[0, 1])
        spread += float(np.var([*judge.values()], ddof=1)) * len(every) / (len(every) - len(ids))
    return float(np.clip(together / spread, 0.0, 1.0)) if spread else 0.0


def _scores(one: Given, dataset: Dataset) -> list[Scores]:
    """Return the scores of each draw."""
    found: list[Scores] = []
    for draw in one.draws.values():
        scores: dict[str, float] = {}
        for id, cell in zip(draw.ids, draw.cells, strict=True):
            if cell and id in dataset.examples:
                if (score := number_in(cell)) is None:
                    raise DataError(
                        f"{one.name} has the score {quoted(cell)}, which is no number from 0 to 1. "
                        "Divide scores by the largest, and leave a cell empty where there is none."
                    )
                scores[id] = score
        found.append(scores)
    return found
