"""A judge's scores of all rows, corrected by people's scores of some: PPI++."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from choose.judge.stats.prediction_powered import FEWEST, prediction_powered
from choose.tasks.scores import number_in
from choose.types import Dataset

if TYPE_CHECKING:
    from choose.answers.given import Given

# What ends the name of a column with people's scores of a candidate.
_PEOPLE = re.compile(r"(.+?)[ _.-](?:people|human|humans)", re.IGNORECASE)

Scores = Mapping[str, float]


def whose(name: str) -> str | None:
    """Return the candidate whose answers a column of people's scores is about, by its name."""
    match = _PEOPLE.fullmatch(name)
    return match[1] if match else None


def corrections(given: Sequence[Given], dataset: Dataset) -> Iterator[str]:
    """Say what people's scores make of the difference of each two candidates."""
    judged = {one.name: _scores(one, dataset) for one in given if whose(one.name) is None}
    people = {c: _scores(one, dataset) for one in given if (c := whose(one.name)) in judged}
    for a, b in combinations(sorted(people, key=str), 2):
        every = sorted(judged[a].keys() & judged[b].keys())
        rated = sorted(people[a].keys() & people[b].keys() & set(every))
        if len(rated) < FEWEST:
            continue
        rest = [id for id in every if id not in set(rated)]
        own = [dataset.clusters.get(id, id) for id in (*rated, *rest)]
        powered = prediction_powered(
            np.array([people[a][id] - people[b][id] for id in rated]),
            np.array([judged[a][id] - judged[b][id] for id in rated]),
            np.array([judged[a][id] - judged[b][id] for id in rest]),
            own if dataset.clusters else None,
        ).interval()
        alone = float(np.mean([judged[a][id] - judged[b][id] for id in every]))
        yield (
            f"{a} minus {b} by people, from their scores of {len(rated):,} rows and the judge's of "
            f"{len(every):,} (PPI++): {powered.value:+.3f} ({powered.low:+.3f} to "
            f"{powered.high:+.3f}); by the judge alone {alone:+.3f}, which the verdict counts."
        )


def _scores(one: Given, dataset: Dataset) -> Scores:
    [draw] = list(one.draws.values())[:1]
    found = {id: number_in(cell) for id, cell in zip(draw.ids, draw.cells, strict=True) if cell}
    return {id: n for id, n in found.items() if n is not None and id in dataset.examples}
