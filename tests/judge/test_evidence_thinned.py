"""Confidence never rises when fewer rows, seeds or candidates are asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from choose.judge.evidence import Evidence
from choose.judge.goal import Rule
from choose.judge.verdict import judge
from choose.schema.decision import Decision
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


def sureness(found: Decision) -> float:
    """Return the chance of the named family; 0 where none is said."""
    return found.chance or 0.0


@pytest.mark.parametrize("how", THINNED)
def test_less_evidence_is_less_sure_on_average(how: str) -> None:
    """Over studies: one may look surer by luck, all together may not."""
    studies = [drawn(seed) for seed in range(FAST)]
    whole = [sureness(judge(study, Rule())) for study in studies]
    thinned = [sureness(judge(THINNED[how](study), Rule())) for study in studies]
    families = {"no fine-tuning", "no retrieval", "no prompting", "no baseline", "one baseline"}
    # Another question is asked where a family is left out of the study.
    slack = 0.2 if how in families else 0.05
    assert np.mean(thinned) <= np.mean(whole) + slack


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
    sure = [v.chance["baseline"] for v in found]
    assert sure[-1] > 0.9
    assert sure[-1] >= sure[0]


def test_rows_of_one_document_are_judged_for_that_document_and_said_to_be() -> None:
    """A clear winner on rows of one cluster: the intervals are those of its rows."""
    rivals = [probe(0.7), prompt(0.6), retrieval(0.6), lora(0.7)]
    seen = study([majority(), tfidf(0.9), *rivals], 600, 3)
    one = replace(seen, items=replace(seen.items, clusters=("handbook",) * 600))
    alone, together = judge(seen, Rule()), judge(one, Rule())
    assert together.verdict.recommended == alone.verdict.recommended == "tfidf"
    pairs = [[p.difference for p in found.pairs] for found in (alone, together)]
    assert pairs[0] == pairs[1]
    assert "few-clusters" not in {c.code for c in alone.verdict.caveats}
    (caveat,) = [c for c in together.verdict.caveats if c.code == "few-clusters"]
    assert caveat.rows == 600
    clusters = ("handbook",) * 598 + ("other",) * 2
    nearly = judge(replace(seen, items=replace(seen.items, clusters=clusters)), Rule())
    (caveat,) = [c for c in nearly.verdict.caveats if c.code == "few-clusters"]
    assert caveat.rows == 598
    assert nearly.verdict.recommended is None
