"""Adapters that write: the mask token by token, the gradients, and what packing must not change."""

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from choose.engines.causal.chat_template import ChatTemplate
from choose.engines.hardware import batch_limits
from choose.engines.lora.answer_tuning import (
    AnsweringModel,
    AnswerRow,
    AnswerRun,
    AnswerScore,
    answer_schedule,
)
from choose.engines.lora.fused import attention
from choose.engines.lora.fused import training_step as fused
from choose.engines.lora.model import Base, load_base
from choose.engines.lora.training_run import Schedule
from choose.models.prompting.answer_writer import AnswerPrompts
from choose.models.prompting.prompts import lay_out_question
from choose.tasks.extraction import Extraction
from choose.tasks.writing import Writing
from choose.types import Example, Item
from support import tiny_models as tiny
from support.tiny_models import autograd_gradients, fused_gradients, gradients_of_answers, tuned

TASK = Extraction(
    fields={"colour": "text"}, instruction="Find it.", descriptions={"colour": "of the thing"}
)
ROWS = [
    Example(id="1", text="a red\nbox", target='{"colour": "red"}', fields={"asked": "colour"}),
    Example(id="2", text="no box", target="{}", fields={"asked": ""}),
    Example(id="3", text="blue <|im_end|> cup " * 4, target='{"colour": "blue"}'),
]


@pytest.fixture(autouse=True)
def _whole_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "trains_in_bfloat16", lambda: False)
    monkeypatch.setattr("choose.engines.lora.training_run.trains_in_bfloat16", lambda: False)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    return load_base(str(tiny.causal_lm(tmp_path_factory.mktemp("answers") / "lm")), writes=True)


def prompts_of(base: Base, task: Any = TASK, limit: int = 100, longest: int = 400) -> AnswerPrompts:
    return AnswerPrompts(ChatTemplate(base.tokenizer), task, limit, longest)


def some_rows(sizes: Sequence[tuple[int, int]]) -> list[AnswerRow]:
    chooser = random.Random(3)

    def tokens(count: int) -> tuple[int, ...]:
        return tuple(chooser.randrange(3, 300) for _ in range(count))

    return [AnswerRow(tokens(prompt), tokens(answer)) for prompt, answer in sizes]


SIZES = [(9, 4), (1, 1), (4, 30), (40, 3), (9, 1), (2, 5)]
PREFIX = (1, 40, 41, 42, 43)


def run_of(model: AnsweringModel, rows: Sequence[AnswerRow], prefix: Any = PREFIX) -> AnswerRun:
    return AnswerRun(model, prefix, rows, Schedule(5, len(rows), 1e-2, 0), 0)


def test_a_prompt_has_the_tokens_that_generation_reads(base: Base) -> None:
    prompts = prompts_of(base)
    for example, row in zip(ROWS, prompts.rows(ROWS, 99), strict=True):
        prompt = prompts.prompt(example.item())
        assert prompt.prefix == prompts.opening
        assert prompt.rest == row.prompt
        assert row.answer[-1] == prompts.template.end
        assert base.tokenizer.decode(row.answer[:-1]) == example.target
        text = base.tokenizer.decode([*prompt.prefix, *prompt.rest])
        opening, closing = text.split(lay_out_question(example.text, example.fields))
        assert opening.endswith("<|im_start|>user\n")
        assert "Find it.\n- colour: of the thing" in opening
        assert closing == "<|im_end|>\n<|im_start|>assistant\n"
    assert prompts.rows(ROWS, 99)[2].prompt.count(base.tokenizer.eos_token_id) == 1
    assert lay_out_question("t", {"a": "1", "b": ""}) == "a: 1\nb: \n\nt"


def test_texts_and_answers_are_cut_to_what_the_model_reads(base: Base) -> None:
    long = Example(id="9", text="red box " * 90, target="x" * 900)
    prompts = prompts_of(base, Writing(), limit=50)
    (row,) = prompts.rows([long], 30)
    assert prompts.cut_ids == {"9"}
    assert len(row.answer) == 30
    assert row.answer[-1] != prompts.template.end
    assert len(prompts.prompt(Item(id="", text="")).rest) + 50 >= len(row.prompt) > 50
    tight = prompts_of(base, Writing(), limit=500, longest=len(prompts.opening) + 20)
    assert sum(map(len, tight.prompt(Item(id="9", text=long.text)))) <= tight.longest
    assert prompts.prompt(Item(id="o", text="a\udfff", fields={"f": "\udfff"})).rest


def on_passages() -> list[AnswerRow]:
    """Questions on two passages, one of them asked twice, and rows on their own."""
    first, second, *others = some_rows([(60, 1), (80, 1), *SIZES])
    questions = [(first, others[0]), (first, others[3]), (second, others[2]), (first, others[5])]
    rows = [AnswerRow((*p.prompt, *q.prompt), q.answer) for p, q in questions]
    again = AnswerRow(rows[0].prompt, others[2].answer)
    return [*rows, again, AnswerRow((*second.prompt, 5), (7, 8)), others[1], others[4]]


def test_questions_on_one_passage_share_its_tokens(base: Base) -> None:
    rows = on_passages()
    run = AnswerRun(tuned(base), PREFIX, rows, Schedule(5, 4, 1e-2, 0), 0)
    for i, row in enumerate(run.answered):
        assert (*run.prefix_of(i), *run.rows[i]) == (*PREFIX, *row.tokens)
        assert len(run.rows[i]) >= len(row.answer)  # the token after which it comes is its own
    shared = [len(run.prefix_of(i)) - len(PREFIX) for i in range(len(rows))]
    assert sorted(shared) == [0, 0, 60, 60, 60, 60, 80, 80]
    for _ in range(3):  # epochs
        epoch = [run.next_batch(), run.next_batch()]
        assert sorted(epoch[0] + epoch[1]) == list(range(8))
        order = [run.prefix_of(i) for i in epoch[0] + epoch[1]]
        for passage in {*order} - {PREFIX}:
            places = [place for place, prefix in enumerate(order) if prefix == passage]
            assert places == list(range(places[0], places[-1] + 1))


@pytest.mark.parametrize("prefix", [PREFIX, ()])
@pytest.mark.parametrize("rows", [some_rows(SIZES), on_passages()], ids=["alone", "passages"])
@pytest.mark.parametrize("targets", ["all", "attention"])
def test_both_engines_give_the_gradients_of_transformers(base, targets, rows, prefix, monkeypatch):
    """In one pass or many, and where rows are long, some positions at a time."""
    model = tuned(base, targets)
    run = run_of(model, rows, prefix)
    wanted = gradients_of_answers(model, run.answered, prefix)
    assert any(bool(grad.any()) for grad in wanted.values())
    for tokens, long in ((640, attention.LONG), (30, 4)):
        monkeypatch.setattr(attention, "LONG", long)
        monkeypatch.setattr(attention, "POSITIONS", 3)
        monkeypatch.setattr(fused, "max_part_tokens", lambda *_, most=tokens: most)
        small = replace(batch_limits.limits_of("cpu"), training_tokens=tokens)
        monkeypatch.setitem(batch_limits._LIMITS, "cpu", small)
        for found in (autograd_gradients(run), fused_gradients(run)):
            assert found.keys() == wanted.keys()
            for name, grad in found.items():
                torch.testing.assert_close(grad, wanted[name], rtol=1e-4, atol=1e-6)


def test_questions_on_one_passage_are_scored_as_alone(base: Base) -> None:
    rows, found = on_passages(), tuned(base)
    together = found.score(PREFIX, rows)
    for row, score in zip(rows, together, strict=True):
        [alone] = found.score(PREFIX, [row])
        torch.testing.assert_close(score.logprobs, alone.logprobs, rtol=1e-4, atol=1e-5)
        ids = torch.tensor([[*PREFIX, *row.prompt, *row.answer]])
        with torch.inference_mode():
            logits = found.lm(input_ids=ids).logits[0].log_softmax(-1)
        said = [float(logits[-1 - len(row.answer) + i, t]) for i, t in enumerate(row.answer)]
        assert score.logprobs.tolist() == pytest.approx(said, abs=1e-4)


def test_early_stopping_keeps_what_writes_more_answers(base, monkeypatch):
    rows = some_rows([(3, 2)] * 8)
    run = AnswerRun(tuned(base), PREFIX, rows, Schedule(4, 4, 1e-2, 3), 0)
    assert len(run.rows) == 5
    assert sorted([*run.training_indices, *run.validation_indices]) == list(range(8))
    unsure = [AnswerScore(torch.full((2,), -0.5), True) for _ in range(3)]
    sure = [AnswerScore(torch.tensor([0.0, -0.6]), False) for _ in range(3)]
    monkeypatch.setattr(run, "_scores", lambda _: unsure)
    assert run.validation_loss() == pytest.approx(0.5)
    monkeypatch.setattr(run, "_scores", lambda _: sure)
    assert run.validation_loss() == pytest.approx(0.3 + 1)


@pytest.mark.parametrize(("prompt", "checked"), [(10, 48), (100, 10), (2_000, 3)])
def test_the_check_of_learning_reads_few_long_rows(base: Base, prompt: int, checked: int) -> None:
    sample = run_of(tuned(base), some_rows([(prompt, 3)] * 48)).check_sample()
    assert len(sample) == checked
    assert len(set(sample)) == checked


def test_schedules_fit_pools_of_any_size() -> None:
    few, usual, many = (answer_schedule(rows, 1e-3) for rows in (8, 300, 10_000))
    assert few.steps >= 30
    assert few.validation_rows == usual.validation_rows == 0
    assert many.validation_rows == 200
    passes = [plan.steps * plan.batch_size / n for plan, n in ((usual, 300), (many, 9_800))]
    assert 3.5 < passes[0] < 4.5
    assert 1.9 < passes[1] < 2.1
    assert answer_schedule(300, 1e-3, 2.0).steps == 75
