"""The record of a model behind an endpoint: latency, caches, unusable answers, repeats."""

from dataclasses import replace

import numpy as np
import pytest

from choose.judge.evidence import CandidateInfo, Items, billions_in, strong
from choose.judge.measures.scorecard import service_of
from choose.judge.scores.score_tables import CandidateScores, rows_of, score_table
from choose.types import Answers, Run, Status, Trial
from support.answered_studies import laid_out
from support.studies import plain_trial

IDS = tuple(f"r{i}" for i in range(10))
INFO = CandidateInfo(
    name="big",
    strategy="prompt",
    family="prompting",
    model="endpoint:big",
    behind="m at host",
)


def trial(draw: int = 0) -> Trial:
    return plain_trial(
        "big", draw, strategy="prompt", train_size=5, task="t", pool="p", questions="q"
    )


def answers(outputs: tuple[str | None, ...], status: tuple[Status, ...], **more: object) -> Answers:
    return Answers(outputs=outputs, status=status, **more)


def measured(*runs: Run) -> CandidateScores:
    items = Items(ids=IDS, targets=("a",) * 10, clusters=IDS)
    evidence = laid_out(items, (INFO,), runs, ("a", "b"), pool_rows=(5,))
    table = score_table(runs, rows_of(evidence, items, "accuracy"))
    return CandidateScores(info=INFO, main=table, drawn=False, pool=5)


STATUS: tuple[Status, ...] = ("ok",) * 6 + ("refused", "empty", "cut", "off-list")
OUTPUTS = ("a",) * 6 + (None,) * 4


def test_figures_are_those_of_the_clean_rows() -> None:
    clean = answers(
        OUTPUTS,
        STATUS,
        latency=np.array([*np.linspace(0.1, 0.9, 9), np.nan]),
        tokens_in=np.full(10, 100),
        tokens_cached=np.array([0] * 5 + [80] * 5),
    )
    run = Run(trial=trial(), answers={("clean", 0): clean}, asked={("clean", 0): IDS})
    found = service_of(measured(run))
    assert found.behind == "m at host"
    assert found.latency_p50 == pytest.approx(0.5)
    assert found.latency_p95 == pytest.approx(0.86)
    assert found.cached_share == pytest.approx(0.4)
    assert found.unusable == pytest.approx(0.4)
    assert found.instability is None


def test_what_was_not_measured_is_null() -> None:
    clean = answers(OUTPUTS, STATUS)
    run = Run(trial=trial(), answers={("clean", 0): clean}, asked={("clean", 0): IDS})
    found = service_of(measured(run))
    assert found.latency_p50 is found.latency_p95 is found.cached_share is None
    local = replace(measured(run), info=replace(INFO, behind=None))
    assert service_of(local) is None


def test_instability_is_the_share_of_rows_that_change() -> None:
    first = answers(("a",) * 10, ("ok",) * 10)
    second = answers(("a",) * 3 + ("b", None), ("ok",) * 4 + ("cut",))
    run = Run(
        trial=trial(),
        answers={("clean", 0): first, ("clean", 1): second},
        asked={("clean", 0): IDS, ("clean", 1): IDS[:5]},
    )
    found = service_of(measured(run))
    assert found.instability == 0.4


def test_a_small_model_stays_small_behind_an_endpoint() -> None:
    assert strong(INFO)
    assert strong(replace(INFO, billions=billions_in("Llama-3.3-70B-Instruct")))
    assert not strong(replace(INFO, billions=billions_in("SmolLM2-135M-Instruct")))
