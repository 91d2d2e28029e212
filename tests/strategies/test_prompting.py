"""Zero-shot and few-shot: what is shown, what is chosen inside fit, what is said about it."""

from collections import Counter
from dataclasses import replace
from math import inf
from typing import Any

import numpy as np
import pytest

from choose.conformance import HOSTILE, TASK, pool, questions
from choose.engines.causal.loading import load_causal
from choose.errors import ModelError, StrategyError
from choose.models.prompting.local_prompter import (
    CALIBRATION_ROWS,
    LocalPrompter,
    calibration_rows,
    fit_calibration,
)
from choose.models.prompting.prompts import WORDINGS, instruction, numeric_labels, single_line
from choose.progress import as_decided, time_limit
from choose.strategy import build
from choose.tasks.labels import Classification
from choose.types import Example, Item
from support.studies import fit_strategy


def fitted(name: str, model: str, **params: Any) -> Any:
    return fit_strategy(name, model=model, **params)


def shown(strategy: Any, item: Item) -> str:
    prompt = strategy.prompter._build(item, ())
    return strategy.prompter.lm.template.tokenizer.decode(prompt.prefix + prompt.rest)


@pytest.mark.parametrize("wording", sorted(WORDINGS))
def test_the_prompt_names_every_label_and_the_text(model: str, wording: str) -> None:
    text = shown(fitted("prompt", model, wording=wording), Item(id="q", text="a ripe plum"))
    assert all(name in text for name in TASK.names)
    assert "a ripe plum" in text
    assert text.endswith("<|im_start|>assistant\n")


def test_names_descriptions_and_instruction_reach_the_prompt() -> None:
    task = replace(
        TASK,
        names=("sweet fruit", "tool", "weather"),
        descriptions={"fruit": "what grows\non trees"},
        instruction="Say what it is about.",
    )
    told = instruction(task, WORDINGS["labels"])
    assert told.startswith("Say what it is about.")
    assert "- sweet fruit: what grows on trees\n- tool\n" in told


def test_tokens_and_time_are_reported(model: str) -> None:
    answers = fitted("prompt", model).predict(questions())
    assert (answers.tokens_in > answers.tokens_cached).all()
    assert (answers.tokens_cached > 0).all()
    assert (answers.tokens_out >= 2).all()
    assert (answers.latency > 0).all()


def test_cached_scores_carry_what_they_cost(model: str) -> None:
    load_causal(model).answers.clear()
    assert fitted("prompt", model).facts()["cached_seconds"] == 0
    again = fitted("prompt", model).facts()
    assert again["cached_seconds"] > 0
    assert again["dtype"] in ("float32", "bfloat16")
    assert again["threads"] >= 1


def test_few_shot_shows_every_class_equally(model: str) -> None:
    few = fitted("few-shot", model, shots=1)
    assert {turn.label for turn in few.prompter.shown} == {*TASK.names}
    strategy = fitted("few-shot", model, shots=7)
    assert Counter(turn.label for turn in strategy.prompter.shown) == dict.fromkeys(TASK.names, 2)
    again = fitted("few-shot", model, shots=7)
    other = fitted("few-shot", model, shots=7, seed=1)
    assert strategy.prompter.shown == again.prompter.shown != other.prompter.shown


def test_demonstrations_are_part_of_the_cached_prefix(model: str) -> None:
    bare, with_shots = fitted("prompt", model), fitted("few-shot", model)
    assert (
        with_shots.predict(questions()).tokens_cached > bare.predict(questions()).tokens_cached
    ).all()


@pytest.mark.parametrize("blank", [" ", "\n", "\x00", "\u2028"])
def test_blanks_are_no_part_of_what_a_text_is_cut_to(model: str, blank: str) -> None:
    strategy = fitted("prompt", model, max_tokens=8)
    asked = shown(strategy, Item(id="q", text=blank * 300 + "a ripe" + blank * 300 + "plum"))
    assert "Text: a ripe plum\nLabel:" in asked
    assert not any("cut" in note for note in strategy.facts()["notes"])


def test_a_field_of_megabytes_is_cut_before_it_is_encoded(model, monkeypatch):
    strategy = fitted("prompt", model, max_tokens=8)
    template, seen = strategy.prompter.lm.template, []
    straight = template.cut
    monkeypatch.setattr(template, "cut", lambda text, limit: seen.append(text) or straight(text, 8))
    strategy.predict([Item(id="q", text="rain " * 500_000)])
    assert max(map(len, seen)) <= 8 * 32
    assert "Texts cut to 8 tokens: 1." in strategy.facts()["notes"]


@pytest.mark.parametrize("name", ["prompt", "few-shot", "retrieval"])
@pytest.mark.parametrize("text", ["rain and wind " * 1000, "🍐" * 1200])
def test_a_question_is_cut_to_the_room_that_is_left(model, encoder, name, text):
    """With max_tokens nearly all that the model reads, the instruction has to fit as well."""
    more = {"encoder": encoder} if name == "retrieval" else {}
    strategy = fitted(name, model, max_tokens=2000, **more)
    prompter = strategy.prompter
    long, short = Item(id="q", text=text), Item(id="r", text="rain")
    assert len(strategy.predict([long, short])) == 2
    # A character more, of four tokens at most, would not have fitted.
    assert 0 <= prompter.lm.context - prompter._length(prompter._build(long, ())) < 8
    cut = [note for note in strategy.facts()["notes"] if note.startswith("Texts cut to what")]
    assert [note.rpartition(" ")[2] for note in cut] == ["1."]
    assert prompter._build(short, ()) == prompter._prompt(
        prompter.shown, prompter._turn(short), len(prompter.shown)
    )


def test_a_model_whose_instruction_leaves_no_room_is_refused(refusal, model: str) -> None:
    described = replace(TASK, descriptions={TASK.labels[0]: "what grows on trees " * 600})
    strategy = fit_strategy("prompt", pool(), described, model=model, calibrate=False)
    assert "shorter label descriptions" in refusal(ModelError, strategy.predict, questions())


@pytest.mark.parametrize("name", ["prompt", "few-shot"])
def test_an_unknown_wording_is_refused(refusal, model: str, name: str) -> None:
    assert "Did you mean 'labels'" in refusal(StrategyError, fitted, name, model, wording="label")


def test_bare_numbers_are_refused_with_a_way_out() -> None:
    numbers = Classification(labels=("0", "1"), names=("0", "1"))
    for name in ("prompt", "few-shot", "retrieval"):
        assert "[task.names]" in build(name, seed=0).refuses(numbers)
    assert numeric_labels(replace(numbers, names=("negative", "positive"))) is None
    assert (
        numeric_labels(Classification(labels=("5 stars", "1 star"), names=("5 stars", "1 star")))
        is None
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_tidy_text_is_one_line_that_can_be_encoded(text: str) -> None:
    tidied = single_line(text)
    tidied.encode("utf-8")
    assert not any(ord(c) < 32 or c == "\x7f" for c in tidied)


def test_calibration_finds_what_a_bias_hides() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 60)
    logprobs = rng.normal(0, 0.3, (60, 3))
    logprobs[np.arange(60), truth] += 2
    biased = logprobs + np.array([9.0, 0, 0])
    frozen = fit_calibration(biased, truth.tolist())
    assert (frozen(biased).argmax(axis=1) == truth).mean() > 0.95
    assert "is on" in frozen.note
    one = frozen(biased[:1])
    assert (one == frozen(biased)[:1]).all(), "an answer may not depend on its neighbours"


def test_calibration_is_left_off_where_it_hurts() -> None:
    logprobs = np.tile([0.0, -1.0], (50, 1)) + np.random.default_rng(1).normal(0, 0.1, (50, 2))
    frozen = fit_calibration(logprobs, [0] * 50)
    assert not frozen.shift.any()
    assert "is off" in frozen.note


def test_calibration_rows_agree_between_pools_that_overlap() -> None:
    rows = [Example(id=str(i), text="t", target="a") for i in range(400)]
    whole, half = calibration_rows(rows), calibration_rows(rows[:200])
    assert len(whole) == CALIBRATION_ROWS
    assert {e.id for e in whole} & {e.id for e in rows[:200]} <= {e.id for e in half}
    assert calibration_rows(rows[::-1]) == whole


def test_few_shot_does_not_calibrate_on_what_it_shows(model, monkeypatch):
    asked: list[str] = []
    monkeypatch.setattr(
        LocalPrompter, "calibrate", lambda self, rows: asked.extend(e.text for e in rows)
    )
    strategy = fitted("few-shot", model)
    assert asked
    assert not {turn.text for turn in strategy.prompter.shown} & set(asked)


@pytest.mark.parametrize(("aim", "count"), [(inf, 1), (inf, 3), (inf, 4), (0.0, 4)])
def test_few_rows_are_all_calibrated_on_unless_time_is_over(model, aim, count):
    prompter = fitted("prompt", model).prompter
    rows = [Example(id=str(i), text="t", target="a") for i in range(count)]
    with time_limit(aim=aim), as_decided() as made:
        found = len(prompter._scored_in_time(rows, ()))
    assert (found, bool(made)) == (count * (aim > 0), aim == 0)
    with as_decided(made):
        assert len(prompter._scored_in_time(rows, ())) == found


@pytest.mark.parametrize(("cached", "count"), [(0.0, 64), (100.0, 0)])
def test_rows_that_are_cached_do_not_make_a_fit_too_long(model, monkeypatch, cached, count):
    """Retrieval calibrated on 64 new rows for 56 s, since the first ones were cached."""
    prompter = fitted("prompt", model).prompter
    score, rows = prompter.lm.score, [Example(id=str(i), text="t", target="a") for i in range(64)]
    monkeypatch.setattr(
        prompter.lm, "score", lambda *asked: replace(score(*asked), cached_seconds=cached)
    )
    with time_limit(aim=70.0):
        assert len(prompter._scored_in_time(rows, ())) == count
