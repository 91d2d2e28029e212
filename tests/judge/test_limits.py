"""Limits that exclude: what breaks one is measured, shown below the others and never named."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import choose
from choose.answers.given import hosted
from choose.errors import StudyError
from choose.judge.evidence import GIVEN, Evidence
from choose.judge.goal import Rule
from choose.judge.verdict import judge
from choose.report import words
from choose.schema.decision import Decision
from support import answered_studies as answered

ROWS = 400


def evidence(**prompt: Any) -> Evidence:
    """Return a fast classifier at 75 %, and a prompted model at 90 % that takes 40 ms a row."""
    rng = np.random.default_rng(3)
    targets = rng.choice(list("abc"), ROWS)

    def said(share: float) -> list[str]:
        other = np.array([rng.choice([x for x in "abc" if x != t]) for t in targets])
        return list(np.where(rng.random(ROWS) < share, targets, other))

    players = [
        answered.player("majority", ["a"] * ROWS, seconds=0.01),
        answered.player("probe", said(0.75), seconds=2.0),
        answered.player("prompt", said(0.9), "prompting", cheap=False, seconds=40.0),
    ]
    found = answered.study("abc", list(targets), players)
    infos = [replace(c, **prompt) if c.name == "prompt" else c for c in found.candidates]
    return replace(found, candidates=tuple(infos))


def decided(rule: Rule, **prompt: Any) -> Decision:
    return judge(evidence(**prompt), rule)


def test_without_a_limit_or_a_known_price_the_best_is_named() -> None:
    decision = decided(Rule())
    assert decision.verdict.recommended == "prompt"
    assert not words.beyond_limits(decision)
    unpriced = decided(Rule(max_usd_per_1k=1.0))
    assert unpriced.named == "prompt"
    assert any("price" in said for said in words.caveats(unpriced))


@pytest.mark.parametrize(
    ("rule", "facts", "limit", "value"),
    [
        (Rule(max_ms=10), {}, "ms", 40.0),
        (Rule(max_usd_per_1k=1.0), {"usd_per_1k": 2.5}, "usd", 2.5),
        (Rule(on_premises=True), {"hosted": True}, "on-premises", None),
        (Rule(), {"ends": True}, "ends", None),
    ],
)
def test_a_candidate_beyond_a_limit_is_measured_and_never_named(rule, facts, limit, value):
    decision = decided(rule, **facts)
    verdict, last = decision.verdict, decision.scorecards[-1]
    assert (verdict.recommended, verdict.kind) == ("probe", "baseline-is-enough")
    assert {*verdict.chance} == {"baseline"}
    assert [f.family for f in verdict.families] == ["baseline"]
    assert (last.candidate, [(b.limit, b.value) for b in last.beyond]) == (
        "prompt",
        [(limit, value)],
    )
    assert last.accuracy.value > 0.8
    told = words.ending(decision) if limit == "ends" else words.beyond_limits(decision)
    assert "prompt" in told


def test_a_model_that_ends_is_a_reference_that_the_successor_is_held_against() -> None:
    decision = decided(Rule(), ends=True)
    assert decision.named == "probe"
    gap = next(s.difference for s in decision.scorecards if s.candidate == "prompt")
    behind = f"probe is {100 * gap.value:.1f} points behind it ("
    assert words.ending(decision).startswith("prompt, which ends, reaches 86 %;")
    assert behind in words.ending(decision)
    assert not words.beyond_limits(decision)
    assert not words.ending(decided(Rule()))


def test_what_a_search_for_a_prompt_gains_is_said_on_the_test_rows() -> None:
    decision = decided(Rule(), starts="probe")
    [remark] = [one for one in decision.verdict.remarks if one.code == "searched"]
    pick = next(s for s in decision.scorecards if s.candidate == "probe")
    assert remark.value == pick.difference.negated()
    assert (
        "Against probe, where its search for a prompt began, prompt changes by +7.8 points (+2.4 "
        "to +13.0) on 400 rows that the search did not see."
    ) in words.what_else(decision)


def test_the_wait_for_an_endpoint_counts_not_its_share_of_many_requests_at_once() -> None:
    found = evidence()
    [run] = [run for run in found.runs if run.trial.candidate == "prompt"]
    answers = {("clean", 0): replace(run.answers["clean", 0], latency=np.full(ROWS, 0.5))}
    slow = replace(run, answers=answers, predict_seconds=ROWS * 0.004)
    runs = (*(r for r in found.runs if r is not run), slow)
    decision = judge(replace(found, runs=runs), Rule(max_ms=100))
    assert decision.named == "probe"
    assert "500 ms an answer, limit 100 ms" in words.beyond_limits(decision)


def test_where_all_are_beyond_the_limits_the_nearest_is_said_and_none_is_named() -> None:
    decision = decided(Rule(max_ms=1))
    assert decision.verdict.kind == "none-works"
    assert decision.verdict.recommended is None
    assert words.answer(decision) == "Nothing here is within your limits."
    said = list(words.caveats(decision))
    assert said[0] == "probe is nearest to your limits: 2 ms an answer, limit 1 ms."
    assert not decision.verdict.steps


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *[(n, True) for n in ("gpt-4o", "gpt4", "ft-gpt-4o-mini", "Claude 3.5 Sonnet", "o3-mini")],
        *[(n, False) for n in ("llama-3-8b", "mine", "gpt2-medium", "qwen2.5", "svm", "probe")],
    ],
)
def test_hosted_models_are_known_by_their_names(name: str, expected: bool) -> None:
    assert hosted(name) is expected


def test_given_answers_of_a_hosted_model_are_not_on_premises(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    gold = rng.choice(["yes", "no"], 300)
    other = np.where(gold == "yes", "no", "yes")
    columns = {
        n: np.where(rng.random(300) < p, gold, other) for n, p in (("gpt-4o", 0.95), ("mine", 0.8))
    }
    table = pl.DataFrame({"id": range(300), "label": gold, **columns})
    assert choose.score(table, on_premises=True, out=tmp_path, progress=False).best == "mine"


def test_a_given_model_of_an_unknown_host_is_said_to_be_one() -> None:
    said = [*words.caveats(decided(Rule(on_premises=True), strategy=GIVEN))]
    assert any(text.startswith("Whether prompt meets --on-premises is unknown") for text in said)
    assert not any(
        "--on-premises" in text for text in words.caveats(decided(Rule(), strategy=GIVEN))
    )


def test_what_stays_on_premises_is_advised_a_local_model() -> None:
    told = decided(Rule(on_premises=True), hosted=True, model="small", billions=1.0)
    [step] = [step for step in told.verdict.steps if step.code == "stronger"]
    assert "LLM on your machines (--model ollama:qwen2.5:14b)" in words.sentences_of(told, step)[0]
    commands = [words.typed(step.command) for step in told.verdict.steps if step.command]
    assert any("--model ollama:" in one for one in commands)
    assert not any("openai:" in one for one in commands)


@pytest.mark.parametrize(
    ("rule", "facts", "said"),
    [
        (Rule(max_ms=0.001), {}, "limit 0.001 ms"),
        (Rule(max_usd_per_1k=1e-7), {"usd_per_1k": 2.5}, "limit $0.0000001"),
        (Rule(max_usd_per_1k=1.5), {"usd_per_1k": 2.5}, "limit $1.5"),
    ],
)
def test_a_limit_is_printed_as_given(rule, facts, said) -> None:
    decision = decided(rule, **facts)
    assert said in " ".join([words.beyond_limits(decision), *words.caveats(decision)])


def test_a_limit_that_nothing_can_keep_is_refused() -> None:
    with pytest.raises(StudyError, match="max_ms"):
        choose.compare([("a", "b")] * 20, max_ms=0, progress=False)
