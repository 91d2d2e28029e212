"""A world resampled from stored answers: real candidates on real sets, their rows resampled."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from choose.judge.evidence import Evidence
from choose.judge.goal import Rule
from choose.judge.measures.costs import cheapest_first, cost_of
from choose.judge.scores.score_tables import study_scores
from choose.types import Floats
from replay import studies as occasions
from replay.answers import Answered, read_all
from replay.candidates import KINDS
from replay.studies import Occasion, Places, evidence
from simulation.truth import Truth, decisive_from

ANSWERS = Path(__file__).resolve().parents[1] / "replay" / "answers"

MARGINS = (0.01, 0.02, 0.03)


def resample(rng: np.random.Generator) -> tuple[Evidence, Truth]:
    """Return a study and its truth.

    A study is drawn as in `regret.py`. All rows that its candidates answered are the population,
    and the test rows are drawn from it with replacement. So the truth is known exactly: the mean
    over the population, of all stored fits of the size.
    """
    sets = _sets()
    occasion = occasions.draw(sets[int(rng.integers(len(sets)))], rng)
    rows = rng.choice(occasion.common, len(occasion.rows))
    study = evidence(replace(occasion, rows=rows))
    margin = float(rng.choice(MARGINS))
    return study, _truth(occasion, study, margin)


@cache
def _sets() -> tuple[Answered, ...]:
    """Return the sets with labels, whose answers are right or wrong."""
    return tuple(found for found in read_all(ANSWERS).values() if found.metric is None)


def _truth(occasion: Occasion, study: Evidence, margin: float) -> Truth:
    means = {name: _means(occasion, name, occasion.common) for name in occasion.draws}
    value = {name: float(each.mean()) for name, each in means.items()}
    best, second = sorted(value, key=lambda name: -value[name])[:2]
    p, q = means[best], means[second]
    discordance = float((p * (1 - q) + q * (1 - p)).mean())
    needed = decisive_from(len(study.items.ids), discordance, margin)
    scored, rule = study_scores(study).scored, Rule()
    costs = {c.info.name: cost_of(c, rule) for c in scored}
    order = cheapest_first(scored, costs, rule)
    return Truth(
        names=tuple(c.info.name for c in order),
        value=value,
        measured=value,
        decisive=value[best] - value[second] >= needed,
        margin=margin,
        target=None,
        families={name: KINDS[name].family for name in value if name != "majority"},
    )


def _means(occasion: Occasion, name: str, population: Places) -> Floats:
    """Return (rows,) the mean over the stored fits of whether each row is answered correctly."""
    fits = occasion.answered.fitted(name, occasion.size).values()
    return np.mean([fit.scores[population] for fit in fits], axis=0)
