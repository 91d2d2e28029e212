"""Confidence never rises when fewer rows, seeds or candidates are asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from choose.judge.evidence import Evidence
from choose.judge.goal import Rule
from choose.judge.verdict import judge
from simulation.thinned import budgets, thin
from support.simulated_studies import lora, majority, probe, prompt, retrieval, study, tfidf

LEVELS = ("low", "medium", "high")

# The first few are tried in every run, the others in the slow one.
STUDIES, FAST = 25, 5


def drawn(seed: int) -> Evidence:
    """Return a whole study of five folds whose best two are 0 to 8 points apart."""
    rng = np.random.default_rng(seed)
    base = rng.uniform(0.65, 0.85)
    a, b, c, d, e = base + rng.uniform(-0.08, 0.0, 5) + rng.permutation([0.08, 0.03, 0, 0, 0])
    calm = {"run_spread": 0.08}
    players = [majority(), tfidf(a), probe(b), prompt(c), retrieval(d, **calm), lora(e, **calm)]
    return study(players, int(rng.integers(300, 1500)), seed, folds=5)


def keep(evidence: Evidence, wanted: Callable[[str, int, int], bool]) -> Evidence:
    """Return the study without the runs whose candidate, fold and draw are not wanted."""
    runs = tuple(
        run for run in evidence.runs if wanted(run.trial.candidate, run.trial.fold, run.trial.draw)
    )
    return replace(evidence, runs=runs)


def without(evidence: Evidence, *names: str) -> Evidence:
    candidates = tuple(c for c in evidence.candidates if c.name not in names)
    kept = keep(evidence, lambda name, fold, draw: name not in names)
    return replace(kept, candidates=candidates)


THINNED: dict[str, Callable[[Evidence], Evidence]] = {
    "a fifth of the rows": lambda e: keep(e, lambda name, fold, draw: fold == 0),
    "three fifths of the rows": lambda e: keep(e, lambda name, fold, draw: fold < 3),
    "dear ones a fifth": lambda e: keep(
        e, lambda name, fold, draw: fold == 0 or name in ("majority", "tfidf", "probe")
    ),
    "one seed": lambda e: keep(e, lambda name, fold, draw: draw == 0),
    "two seeds": lambda e: keep(e, lambda name, fold, draw: draw < 2),
    "no fine-tuning": lambda e: without(e, "lora"),
    "no retrieval": lambda e: without(e, "retrieval"),
    "no prompting": lambda e: without(e, "prompt"),
    "no baseline": lambda e: without(e, "tfidf", "probe"),
    "one baseline": lambda e: without(e, "tfidf", "majority"),
    "only baselines": lambda e: without(e, "prompt", "retrieval", "lora"),
    "one candidate": lambda e: without(e, "probe", "prompt", "retrieval", "lora"),
}


def level(evidence: Evidence) -> int:
    return LEVELS.index(judge(evidence, Rule()).verdict.confidence)


@cache
def whole(seed: int) -> tuple[Evidence, int]:
    """Return a study and the level of its confidence."""
    evidence = drawn(seed)
    return evidence, level(evidence)


@pytest.mark.slow
def test_whole_studies_have_every_confidence() -> None:
    assert {whole(seed)[1] for seed in range(STUDIES)} == {0, 1, 2}


def rises(how: str, seeds: range) -> list[int]:
    """Return the studies whose confidence rises when they are thinned."""
    return [seed for seed in seeds if level(THINNED[how](whole(seed)[0])) > whole(seed)[1]]


@pytest.mark.parametrize("how", THINNED)
def test_confidence_does_not_rise(how: str) -> None:
    assert rises(how, range(FAST)) == []


@pytest.mark.slow
@pytest.mark.parametrize("how", THINNED)
def test_confidence_does_not_rise_in_others(how: str) -> None:
    assert rises(how, range(FAST, STUDIES)) == []


def test_the_same_rows_name_one_family_under_every_budget() -> None:
    """D8: five budgets gave five verdicts, the smallest the highest confidence.

    Smaller budgets reach fewer rows of the candidates with a model, in the order of a run.
    """
    players = [majority(), tfidf(0.79), probe(0.81), prompt(0.55), retrieval(0.68), lora(0.76)]
    whole = study(players, 600, 4, folds=5)
    found = [
        judge(thin(whole, rows, np.random.default_rng(2)), Rule()).verdict
        for rows in budgets(whole)
    ]
    assert len(found) >= 5
    kinds = {c.name: c.family for c in whole.candidates}
    assert {kinds[v.recommended or v.use_meanwhile] for v in found} == {"baseline"}
    levels = [LEVELS.index(v.confidence) for v in found]
    assert levels[-1] == max(levels) > levels[0]


def test_rows_of_one_document_are_judged_for_that_document_and_said_to_be() -> None:
    """A clear winner on rows of one cluster: the intervals are those of its rows."""
    rivals = [probe(0.7), prompt(0.6), retrieval(0.6), lora(0.7)]
    seen = study([majority(), tfidf(0.9), *rivals], 600, 3)
    one = replace(seen, items=replace(seen.items, clusters=("handbook",) * 600))
    alone, together = judge(seen, Rule()), judge(one, Rule())
    assert together.verdict.recommended == alone.verdict.recommended == "tfidf"
    pairs = [[p.difference for p in found.pairs] for found in (alone, together)]
    assert pairs[0] == pairs[1]
    assert alone.verdict.confidence != "low"
    assert together.verdict.confidence == "low"
    why = "all 600 test rows are of one group or document"
    assert any(why in reason for reason in together.verdict.reasons)
    clusters = ("handbook",) * 598 + ("other",) * 2
    nearly = judge(replace(seen, items=replace(seen.items, clusters=clusters)), Rule()).verdict
    assert nearly.confidence == "low"
    assert any("598 of 600 test rows are of one group" in reason for reason in nearly.reasons)
