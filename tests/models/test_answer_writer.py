"""The strategy writes answers: learns them exactly, saves, loads, and exports as plain PEFT."""

import json
from collections.abc import Sequence
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from choose.engines.causal.generation import Generator
from choose.engines.causal.stop_rules import StopRule, Written
from choose.errors import ModelError, StrategyError
from choose.models.prompting.answer_writer import instruction
from choose.progress import TimeLimitReached, as_decided, time_limit
from choose.strategy import build
from choose.tasks.answering import NO_ANSWER, Answering
from choose.tasks.extraction import Extraction
from choose.tasks.writing import Writing
from choose.types import ROWS_READ, SHARE_READ, Example
from choose_strategies.lora import UNTRAINED
from support import tiny_models as tiny

TASK = Extraction(fields={"n": "text"}, instruction="Find n.")
WORDS = ("red", "blue", "green", "black")


def rows(count: int = 8) -> list[Example]:
    """Records that a field decides as much as the text does."""
    found = []
    for i in range(count):
        word, asked = WORDS[i % 4], "yes" if i % 8 < 4 else "no"
        target = f'{{"n": "{word}"}}' if asked == "yes" else "{}"
        found.append(
            Example(id=str(i), text=f"a {word} box", target=target, fields={"asked": asked})
        )
    return found


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny model in which the closing token, also that of padding, has a vector of its own."""
    import torch
    from transformers import AutoModelForCausalLM

    folder = tiny.causal_lm(tmp_path_factory.mktemp("writes") / "lm", spread=0.6)
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(1)
        model.get_input_embeddings().weight[model.config.eos_token_id].normal_(std=0.6)
    model.save_pretrained(folder)
    return str(folder)


SETTINGS: dict[str, Any] = {
    "targets": "all",
    "rank": 16,
    "dropout": 0.0,
    "learning_rate": 1e-2,
    "epochs": 45,
}


def lora(base: str, seed: int = 0, **params: Any) -> Any:
    return build("lora", seed=seed, base=base, **{**SETTINGS, **params})


@pytest.fixture(scope="module")
def fitted(base: str) -> Any:
    strategy = lora(base)
    strategy.fit(TASK, rows())
    return strategy


def asked(examples: Sequence[Example]) -> list[Any]:
    return [example.item() for example in examples]


def test_a_small_task_is_learnt_to_exact_answers(fitted: Any) -> None:
    answers = fitted.predict(asked(rows()))
    assert answers.outputs == tuple(row.target for row in rows())
    assert set(answers.status) == {"ok"}
    assert answers.raw == (None,) * 8
    assert answers.scores is None
    # Greedy generation writes what a forward pass over the right answers finds likeliest, to the
    # token that closes them.
    learnt = fitted._writer.prompts.rows(rows(), 99)
    assert all(s.greedy for s in fitted._model.score(fitted._writer.prompts.opening, learnt))
    assert (answers.tokens_out <= fitted._writer.rule.limit).all()
    assert ((answers.confidence > 0.5) & (answers.confidence <= 1)).all()
    before, after, effect = fitted._model.learning
    assert after < 0.2 < before
    assert effect > 1e-3
    facts = fitted.facts()
    assert facts["artefact_mb"] > 0
    assert "no early stopping" in facts["notes"][0]


def test_fields_whose_values_are_dropped_are_named(base: str) -> None:
    strategy = lora(base, epochs=1)
    strategy.fit(TASK, rows(24))
    assert "Values of n that the text does not hold are dropped." in strategy.facts()["notes"]


def test_saved_and_loaded_it_answers_the_same(fitted: Any, base: str, tmp_path: Path) -> None:
    fitted.save(tmp_path / "kept")
    assert sorted(p.name for p in (tmp_path / "kept").iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "fitted.json",
    ]
    again = build("lora", seed=9, base=base, rank=2)
    again.load(tmp_path / "kept")
    ours, theirs = fitted.predict(asked(rows())), again.predict(asked(rows()))
    assert ours.outputs == theirs.outputs
    config = json.loads((tmp_path / "kept" / "adapter_config.json").read_text())
    assert config["task_type"] == "CAUSAL_LM", "PEFT reads it"
    np.testing.assert_allclose(ours.confidence, theirs.confidence, rtol=1e-5)
    about = json.loads((tmp_path / "kept" / "fitted.json").read_text())
    unknown_end = (ValueError, "answers end is unknown")
    for wrong, (error, message) in (
        ({"until": "never"}, unknown_end),
        ({"most_new": 0}, unknown_end),
        ({"opening": [1]}, (StrategyError, "other prompts")),
        ({"task": {"kind": "x"}}, (ValueError, "kind")),
    ):
        (tmp_path / "kept" / "fitted.json").write_text(json.dumps(about | wrong))
        with pytest.raises(error, match=message):
            again.load(tmp_path / "kept")


def test_many_texts_with_little_time_are_learnt_by_the_last_layers(base, tmp_path, monkeypatch):
    monkeypatch.setattr("choose_strategies.lora.MANY_TEXTS", 8)
    strategy = lora(base, epochs=1)
    for count, aim, layers in ((7, 3.0, "01"), (8, 9.0, "01"), (8, inf, "01"), (8, 3.0, "1")):
        with as_decided() as made, time_limit(aim=aim):
            strategy.fit(Writing(), rows(count))
        names = [n for n, p in strategy._model.adapter.named_parameters() if p.requires_grad]
        assert {name.split(".layers.")[1][0] for name in names} == {*layers}
        assert ("share of the layers" in made) == (layers == "1"), "other folds follow"
    assert "Adapters are in the last 50 % of the layers." in strategy.facts()["notes"]
    strategy.save(tmp_path / "kept")
    (again := build("lora", seed=9, base=base)).load(tmp_path / "kept")
    assert again.predict(asked(rows())).outputs == strategy.predict(asked(rows())).outputs


def test_answers_that_are_cut_or_malformed_are_no_answers(fitted: Any) -> None:
    from dataclasses import replace

    writer = fitted._writer
    rule, writer.rule = writer.rule, replace(writer.rule, limit=2)
    try:
        answers = writer.predict(asked(rows()[:1]))
    finally:
        writer.rule = rule
    assert answers.outputs == (None,)
    assert answers.status == ("cut",)
    assert answers.raw[0].startswith("{")


@pytest.mark.slow
def test_texts_end_with_the_closing_token(base: str) -> None:
    strategy = lora(base, epochs=30)
    notes = [Example(id=str(i), text=w, target=f"{w} note\nok") for i, w in enumerate(WORDS)]
    strategy.fit(Writing(), notes)
    assert strategy._writer.rule.until == "end"
    assert strategy.predict(asked(notes)).outputs == tuple(note.target for note in notes)


def test_texts_without_end_have_their_first_copy(base, monkeypatch):
    notes = [Example(id=str(i), text=w, target=f"{w} is well.") for i, w in enumerate(WORDS)]

    def write(self: Generator, prompts: Any, rule: StopRule) -> Written:
        rest = [self.template.tokenizer.decode(p.rest) for p in prompts]
        seen = [next(w for w in WORDS if w in text) for text in rest]
        return tiny.written([f"{w} is well. " * 9 for w in seen], [True] * len(rest))

    monkeypatch.setattr(Generator, "write", write)
    strategy = lora(base)
    strategy.fit(Writing(), notes)
    assert strategy.predict(asked(notes)).outputs == tuple(note.target for note in notes)


@pytest.mark.slow
def test_answers_to_questions_end_with_their_line_and_may_be_none(base):
    task = Answering(passage="page", unanswerable=True)
    questions = [
        Example(
            id=str(i),
            text=f"Which {w}?",
            target=f"{w} box" if i % 2 else NO_ANSWER,
            fields={"page": f"a {w} box" if i % 2 else "a tree"},
        )
        for i, w in enumerate(WORDS)
    ]
    strategy = lora(base, epochs=60)
    strategy.fit(task, questions)
    assert strategy._writer.rule.until == "line"
    assert instruction(task) == f"Answer the question.\n{task.guidance()}"
    assert strategy.predict(asked(questions)).outputs == tuple(q.target for q in questions)


def test_small_pools_and_none(base: str, refusal: Any) -> None:
    strategy = lora(base, epochs=None)
    strategy.fit(TASK, [])
    assert strategy.facts()["notes"] == [UNTRAINED]
    assert len(strategy.predict(asked(rows(2)))) == 2
    strategy.fit(TASK, rows(1))
    assert strategy.predict([]).outputs == ()
    long = Extraction(fields={"n": "text"}, instruction="Find n. " * 900)
    assert "Shorten it" in refusal(StrategyError, strategy.fit, long, rows(2))


def test_a_time_limit_stops_inside_an_epoch(base: str) -> None:
    with pytest.raises(TimeLimitReached), time_limit(0.0):
        lora(base).fit(TASK, rows())


def test_a_fit_cut_short_tells_the_rows_that_it_has_read(base: str) -> None:
    with time_limit(aim=0.0), as_decided() as decided:
        lora(base, epochs=60).fit(TASK, rows(40))
    read, share = decided[ROWS_READ], decided[SHARE_READ]
    assert 40 * share < read <= 40, "each once, while sixty times were planned"


@pytest.mark.slow
def test_several_trials_train_together_as_alone(base: str) -> None:
    # At a low rate, since at a high one the optimiser makes any rounding large.
    alone, first, second = (lora(base, seed, epochs=20, learning_rate=1e-3) for seed in (3, 3, 4))
    alone.fit(TASK, rows())
    assert type(first).fit_group([first, second], TASK, [rows(), rows(5)]) == []
    # Another seed ends elsewhere.
    mine, same, other = (one._model.learning.loss_after for one in (alone, first, second))
    assert abs(mine - same) < 0.1 * abs(mine - other)


def test_an_encoder_cannot_write(encoder: str, refusal: Any) -> None:
    assert "no causal language model" in refusal(ModelError, lora(encoder).fit, TASK, rows())
