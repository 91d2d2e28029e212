"""Strategies on sets of labels: what is learnt, shown, calibrated, saved, and read strictly."""

from typing import Any

import numpy as np
import pytest

from choose.models.endpoints.handshake import Capabilities, set_format
from choose.models.prompting.prompts import (
    Turn,
    chat_messages,
    instruction,
    numeric_labels,
    wording_of,
)
from choose.strategy import build
from choose.tasks.multilabel import Multilabel, judged_set, read_set
from choose.types import Answers, Example
from choose_strategies.lora import UNTRAINED
from support.studies import LABELS, TASK, fit_strategy, label_rows

POOL, ASKED = label_rows(90), label_rows(40, seed=1)


def mean_f1(answers: Answers, rows: list[Example]) -> float:
    pairs = zip(answers.outputs, rows, strict=True)
    return float(np.mean([TASK.score(o, e.targets)["example-f1"] for o, e in pairs]))


# Random models of two layers learn at a higher rate than those that know their language.
TUNED = [
    ("lora", {"learning_rate": 1e-2, "epochs": 12.0}, POOL, 0.15),
    ("setfit", {"learning_rate": 3e-3}, ASKED, 0.2),
    ("full-fine-tuning", {"learning_rate": 3e-3}, ASKED, 0.2),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "rate", "rows", "gain"), TUNED)
def test_models_are_tuned_on_sets(name, rate, rows, gain, model, encoder):
    own = {"base": model} if name == "lora" else {"encoder": encoder}
    strategy = fit_strategy(name, POOL, TASK, **own, **rate)
    constant = fit_strategy("majority", POOL, TASK)
    items = [e.item() for e in rows]
    answers = strategy.predict(items)
    assert mean_f1(answers, rows) > mean_f1(constant.predict(items), rows) + gain
    if name != "lora":
        assert answers.scores is None
        assert answers.confidence is not None
        assert "all weights of the encoder trained" in strategy.facts()["notes"][0]


@pytest.mark.parametrize("name", ["lora", "setfit", "full-fine-tuning"])
def test_a_pool_of_one_set_or_none_tunes_nothing(name: str, model: str, encoder: str) -> None:
    own = {"base": model} if name == "lora" else {"encoder": encoder}
    strategy: Any = build(name, seed=0, **own)
    for pool in ([e for e in POOL if e.target == '["pin"]'], []):
        strategy.fit(TASK, pool)
        assert strategy.facts()["notes"] == [UNTRAINED]
        outputs = set(strategy.predict([e.item() for e in ASKED[:5]]).outputs)
        assert outputs == {'["pin"]'} or not pool


def test_lora_starts_from_the_share_of_each_label(model: str) -> None:
    """From a half for each of 48 labels a short training left most labels of NLU++ out."""
    run = build("lora", seed=0, base=model)._prepare_run(TASK, POOL)
    shares = np.array([sum(one in read_set(e.target) for e in POOL) for one in TASK.choices])
    chances = run.model.predict_logits(run.all_rows[:3]).double().sigmoid().numpy()
    assert chances == pytest.approx(np.tile((shares + 1) / (len(POOL) + 2), (3, 1)), abs=1e-6)


@pytest.mark.parametrize("name", ["prompt", "few-shot"])
def test_prompts_are_calibrated_on_labelled_rows(model, name):
    strategy = fit_strategy(name, POOL, TASK, model=model)
    items = [e.item() for e in ASKED[:6]]
    answers = strategy.predict(items)
    assert all(TASK.problem_with(output or "") is None for output in answers.outputs)
    assert answers.tokens_out is not None
    assert strategy.facts()["notes"][0].startswith("Labels are calibrated on 64 training rows")
    prompt = strategy.prompter._build(items[0], ())
    text = strategy.prompter.lm.template.tokenizer.decode(prompt.prefix + prompt.rest)
    assert all(label in text for label in LABELS)
    assert "separated by commas, or none" in text
    plain = fit_strategy(name, POOL, TASK, model=model, calibrate=False)
    assert plain.prompter.thresholds is None
    assert all(o is not None for o in plain.predict(items).outputs)


def test_a_label_scores_alone_or_before_a_comma_and_the_calibration_has_no_other_row(model):
    prompter = fit_strategy("prompt", POOL, TASK, model=model).prompter
    scored = prompter.score([ASKED[0].item()])
    scores = prompter._first(scored.logprobs)
    count = len(LABELS)
    for place in range(count):
        parts = scored.logprobs[0, [place, count + 1 + place]]
        assert scores[0, place] == pytest.approx(np.log(np.exp(parts).sum()))
    assert scores[0, count] == scored.logprobs[0, count]


@pytest.mark.parametrize(
    ("said", "read", "status"),
    [
        ('["pin", "card"]', '["card", "pin"]', "ok"),
        ('{"labels": ["Lost"]}', '["lost"]', "ok"),
        ("[]", "[]", "ok"),
        ('["pin", "pin"]', '["pin"]', "ok"),
        ('["pin", "spoon"]', None, "off-list"),
        ("pin, card", None, "malformed"),
        ('{"labels": "pin"}', None, "malformed"),
        ("[1]", None, "malformed"),
        ('Sure! ["pin"]', None, "malformed"),
    ],
)
def test_lists_of_endpoints_are_read_strictly(said: str, read: str | None, status: str) -> None:
    assert judged_set(TASK, said) == (read, status)


def test_endpoints_are_asked_for_a_list_and_shown_one() -> None:
    task = Multilabel(
        choices=("a_1", "b_2"), choice_names=("first", "second"), descriptions={"b_2": "the other"}
    )
    wording = wording_of(task, "labels", as_json=True)
    assert "JSON list" in instruction(task, wording)
    assert "\n- second: the other" in instruction(task, wording)
    turns = [Turn("text one", '["b_2"]'), Turn("text two")]
    shown = [
        chat_messages(task, wording, Capabilities(schema=schema), turns)[2]["content"]
        for schema in (False, True)
    ]
    assert shown == ['["second"]', '{"labels": ["second"]}']
    schema = set_format(["first", "second"]).schema
    assert schema["properties"]["labels"]["items"]["enum"] == ["first", "second"]
    numbers = Multilabel(choices=("1", "2"), choice_names=("1", "2"))
    assert "bare numbers" in (numeric_labels(numbers) or "")
