"""The gate on cost, what prices would flip, and what is to be done next, each with its figures."""

from dataclasses import replace

import numpy as np
import pytest

from choose.judge.goal import Measure, Rule
from choose.judge.verdict import judge
from choose.schema.decision import Decision
from choose.tasks.answering import NO_ANSWER, Answering
from choose.tasks.scoring import UserMetric
from support.priced_studies import rule, world
from support.simulated_studies import lora, majority, probe, prompt, retrieval, study, tfidf


def gate(found: Decision):
    return next(g for g in found.gates if g.name == "worth its cost")


def questions(words: int, *, own: bool = False) -> Decision:
    """Judge answers to questions, half of them without one, the others with so many words.

    `own` is a metric of the user's.
    """
    cheap, prompted = [majority(0.1), tfidf(0.5), probe(0.5)], [prompt(0.5), retrieval(0.5)]
    made = study([*cheap, *prompted, lora(0.85)], 600, 3)
    task = Answering(metric=UserMetric(name="m:f", scores=("mine",), code="") if own else None)
    right = dict(zip(made.items.ids, made.items.targets, strict=True))
    runs = []
    for run in made.runs:
        scores = {}
        for view, answers in run.answers.items():
            pairs = [*zip(run.asked[view], answers.outputs, strict=True)]
            values = np.array([float(output == right[id]) for id, output in pairs])
            scores[view] = dict.fromkeys((*task.metrics, "lenient"), values)
        runs.append(replace(run, scores=scores))
    text = " ".join(f"word{n}" for n in range(words))
    targets = tuple(NO_ANSWER if n % 2 else text for n in range(len(right)))
    asked = replace(
        made,
        labels=(),
        items=replace(made.items, targets=targets),
        task=task,
        runs=tuple(runs),
    )
    return judge(asked, Rule(measure=Measure(metric=task.metrics[0])))


def test_unpriced_it_is_unknown_and_says_where_to_price_it():
    found = gate(judge(world(rows=300), Rule()))
    assert found.status == "unknown"
    assert found.code == "no-prices"


def test_a_missing_price_is_named():
    found = gate(judge(world(rows=300), rule(volume_per_month=None)))
    assert found.status == "unknown"
    assert (found.code, found.names) == ("unpriced", ("costs.volume_per_month",))
    found = gate(judge(world(rows=300), rule(value_per_right_answer=None)))
    assert found.names == ("costs.value_per_right_answer",)


@pytest.mark.parametrize(
    ("value", "margin", "status"),
    [(40, 0.02, "pass"), (6, 0.02, "unknown"), (2, 0.02, "fail")],
)
def test_it_passes_and_fails_with_the_whole_interval(value, margin, status):
    """The same gain at three worths; the margin is stated, so that the choice stays the same."""
    decision = judge(world(0.86, 0.8, rows=2000), rule(margin, value_per_right_answer=value))
    assert decision.verdict.use_meanwhile == "lora"
    found = gate(decision)
    assert found.status == status
    pairs = [b for b in decision.breakeven if b.a == "lora"]
    worst = min(pairs, key=lambda b: b.net_usd.low)
    ends = (worst.net_usd.low, worst.net_usd.high)
    if status == "pass":
        assert all(b.net_usd.low >= 0 for b in pairs)
    assert (found.value.low, found.value.high) == ends
    if status == "fail":
        assert ends[1] < 0


def test_the_cheapest_has_nothing_to_pay_back():
    decision = judge(study([probe(0.9), lora(0.9)], 600, 1), rule())
    assert decision.verdict.use_meanwhile == "probe"
    assert gate(decision).status == "pass"
    assert gate(decision).code == "cheapest"


def test_the_claims_about_volume_are_true():
    """Judged again at a volume on the other side of the break-even, the other one is taken."""
    evidence = world(0.86, 0.8, rows=4000)
    first = judge(evidence, rule())
    pair = next(b for b in first.breakeven if (b.a, b.b) == ("lora", "probe"))
    needed = pair.requests_per_month
    assert first.verdict.use_meanwhile == "probe"
    over = judge(evidence, rule(volume_per_month=1.5 * needed.value))
    assert over.verdict.use_meanwhile == "lora"
