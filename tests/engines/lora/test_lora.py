"""LoRA strategies train, save, load and refuse as they should, on both kinds of base."""

import json
import random
from collections import Counter
from dataclasses import replace
from math import inf
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from choose.conformance import TASK, pool, questions
from choose.engines.lora import classifier, fit
from choose.engines.lora.batching import (
    batches_by_length,
    shuffled_batches,
    special_tokens_around,
    tokenise,
)
from choose.engines.lora.classifier import (
    ClassifierRun,
    class_weights,
    schedule_for,
    split_validation,
    untrained_model,
)
from choose.engines.lora.fit import train
from choose.engines.lora.model import AdapterSpec, load_base, seeded
from choose.engines.lora.training_run import Schedule
from choose.errors import StrategyError
from choose.progress import as_decided, time_limit
from choose.strategy import Saves, build
from choose.tasks.labels import Classification
from choose.tasks.writing import Writing
from choose.types import ROWS_READ, SHARE_READ, Answers, Example, Item


@pytest.fixture
def bases(model: str, encoder: str) -> dict[str, str]:
    return {"causal": model, "encoder": encoder}


def lora(base: str, seed: int = 0, **params: object):
    """Build the strategy with a schedule a third as long as its own, unless one is given."""
    return build("lora", seed=seed, base=base, **{"epochs": 8.0, **params})


def fitted(base: str, seed: int = 0, rows: Any = None, **params: object):
    strategy = lora(base, seed, **params)
    strategy.fit(TASK, pool() if rows is None else rows)
    return strategy


def right(answers: Answers) -> float:
    return float(np.mean([o == TASK.labels[i % 3] for i, o in enumerate(answers.outputs)]))


@pytest.mark.parametrize("kind", ["causal", "encoder"])
def test_it_learns_on_both_kinds_of_base(bases: dict[str, str], kind: str) -> None:
    strategy = fitted(bases[kind], learning_rate=1e-2, epochs=None)
    assert right(strategy.predict([example.item() for example in pool()])) > 0.8
    before, after, effect = strategy._model.learning
    assert after < before
    assert effect > 1e-3


@pytest.mark.slow
def test_saved_and_loaded_an_encoder_answers_the_same(bases, tmp_path):
    strategy = fitted(bases["encoder"])
    assert isinstance(strategy, Saves)
    strategy.save(tmp_path / "kept")
    again = lora(bases["encoder"], seed=9, rank=2)
    again.load(tmp_path / "kept")
    ours, theirs = strategy.predict(questions()), again.predict(questions())
    assert ours.outputs == theirs.outputs
    np.testing.assert_array_equal(ours.scores, theirs.scores)
    assert not list((tmp_path / "kept").glob("*.bin"))


def test_plain_peft_reads_the_adapter(bases: dict[str, str], tmp_path: Path) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModel

    strategy = fitted(bases["causal"])
    strategy.save(tmp_path)
    plain = PeftModel.from_pretrained(AutoModel.from_pretrained(bases["causal"]), tmp_path).eval()
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.inference_mode():
        theirs = plain(input_ids=ids).last_hidden_state
        ours = strategy._model.adapter(input_ids=ids).last_hidden_state
    torch.testing.assert_close(theirs, ours)
    assert json.loads((tmp_path / "adapter_config.json").read_text())["r"] == 16


def test_an_adapter_of_other_weights_is_refused(bases: dict[str, str], tmp_path: Path) -> None:
    fitted(bases["causal"]).save(tmp_path)
    about = json.loads((tmp_path / "fitted.json").read_text())
    (tmp_path / "fitted.json").write_text(json.dumps(about | {"weights": "0" * 64}))
    with pytest.raises(StrategyError, match="other weights"):
        lora(bases["causal"]).load(tmp_path)


def test_torch_randomness_is_left_alone(bases: dict[str, str]) -> None:
    import torch

    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    fitted(bases["causal"])
    assert torch.equal(torch.rand(4), expected)


def test_training_that_learns_nothing_is_an_error(bases: dict[str, str]) -> None:
    strategy = lora(bases["causal"], learning_rate=1e-9, epochs=1)
    with pytest.raises(StrategyError, match=r"did not learn|changes no answer"):
        strategy.fit(TASK, pool())


def test_adapters_of_no_known_layers_are_refused(bases: dict[str, str]) -> None:
    with pytest.raises(StrategyError, match="targets"):
        lora(bases["causal"], targets="some").fit(TASK, pool())


def test_facts_say_how_it_was_trained(bases: dict[str, str]) -> None:
    strategy = fitted(bases["causal"], max_tokens=4)
    facts = strategy.facts()
    assert facts["threads"] >= 1
    assert facts["dtype"] in ("float32", "bfloat16")
    assert facts["artefact_mb"] > 0
    assert facts["notes"][0].startswith("Steps planned: ")
    assert "cut to 4 tokens" in facts["notes"][-1]
    answers = strategy.predict([Item(id="x", text="plum " * 50), Item(id="y", text="")])
    assert answers.tokens_in.tolist() == [4, 1]


def test_a_pool_of_one_class_answers_it_with_its_prior(bases: dict[str, str]) -> None:
    strategy = fitted(bases["causal"], rows=[e for e in pool() if e.target == "tool"])
    answers = strategy.predict(questions(3))
    assert set(answers.outputs) == {"tool"}
    np.testing.assert_allclose(np.exp(answers.scores[0]), [1 / 11, 9 / 11, 1 / 11], rtol=1e-5)
    assert len(fitted(bases["causal"], rows=[]).predict(questions(3))) == 3


@pytest.mark.parametrize("rows", [2, 8, 48, 300, 616, 1499, 1500, 3000, 10_000, 100_000])
def test_the_schedule_fits_every_size(rows: int) -> None:
    chosen = schedule_for(rows, 6, 1e-3)
    assert 2 <= chosen.batch_size <= 32 or rows < 4
    assert chosen.steps >= 52
    assert (chosen.validation_rows > 0) == (rows >= 1500)
    assert chosen.validation_rows <= rows / 10
    assert chosen.steps * chosen.batch_size >= 2 * (rows - chosen.validation_rows)
    assert chosen.steps <= 3 * rows / chosen.batch_size + 240
    assert schedule_for(154, 77, 1e-3).steps > schedule_for(154, 2, 1e-3).steps


def test_rare_classes_weigh_more_and_rows_one_on_average() -> None:
    targets = [0] * 90 + [1] * 10
    weights = class_weights(targets, 3).numpy()
    assert weights[1] / weights[0] == pytest.approx(3.0)
    assert weights[targets].mean() == pytest.approx(1.0)


@pytest.mark.parametrize("kind", ["causal", "encoder"])
def test_a_group_answers_as_each_alone(bases: dict[str, str], kind: str) -> None:
    few, lone = pool(rows=12), [e for e in pool() if e.target == "tool"]
    pools = [pool(), few, lone]
    together = [lora(bases[kind], seed) for seed in range(3)]
    assert together[0].side_by_side()
    together[0].fit_group(together, TASK, pools)
    for seed, (one, own) in enumerate(zip(together, pools, strict=True)):
        alone = fitted(bases[kind], seed, own)
        ours, theirs = one.predict(questions()).scores, alone.predict(questions()).scores
        np.testing.assert_allclose(ours, theirs, atol=0.3)
        assert one.facts()["notes"][0] == alone.facts()["notes"][0]


def test_one_of_a_group_that_learns_nothing_is_named(bases: dict[str, str]) -> None:
    together = [lora(bases["causal"], seed) for seed in range(2)]
    together[1].learning_rate, together[1].epochs = 1e-12, 1
    assert together[0].fit_group(together, TASK, [pool(), pool()]) == [1]
    assert right(together[0].predict([e.item() for e in pool()])) > 0.5


@pytest.mark.slow
def test_early_stopping_keeps_the_best_epoch(bases: dict[str, str]) -> None:
    base = load_base(bases["causal"])
    examples = pool(rows=90)
    chooser = random.Random(0)
    rows = tokenise(base.tokenizer, [e.text for e in examples], 32).ids
    # Every other label by chance: after the words are learnt, the rest is memorised.
    targets = [chooser.randrange(3) if i % 2 else i % 3 for i in range(len(examples))]
    with seeded(0, base.device):
        long = untrained_model(base, AdapterSpec(16, "all", 0.0), 3, "tiny")
        stopped = ClassifierRun(long, rows, targets, Schedule(400, 8, 3e-3, 30), 0)
        train(stopped)
        free = untrained_model(base, AdapterSpec(16, "all", 0.0), 3, "tiny")
        taken = ClassifierRun(free, rows, targets, Schedule(400, 8, 3e-3, 0), 0)
        train(taken)
    assert stopped._loss(range(len(rows))) > taken._loss(range(len(rows)))


def test_batches_hold_every_row_once_and_little_padding() -> None:
    lengths = [random.Random(i).randrange(1, 60) for i in range(333)]
    asked = [list(b) for b in batches_by_length(lengths, 512)]
    trained = list(shuffled_batches(lengths, 16, random.Random(0)))
    for batches in (asked, trained):
        assert sorted(place for batch in batches for place in batch) == list(range(333))
        assert sum(len(b) * max(lengths[i] for i in b) for b in batches) < 1.3 * sum(lengths)
    assert trained != list(shuffled_batches(lengths, 16, random.Random(1)))


def test_tokens_of_both_kinds(bases: dict[str, str]) -> None:
    causal, encoder = (load_base(bases[k]) for k in ("causal", "encoder"))
    assert causal.causal
    assert not encoder.causal
    end = causal.tokenizer.eos_token_id
    assert special_tokens_around(causal.tokenizer) == ((), ())
    assert (causal.pooling, encoder.pooling) == ("last", "mean")
    marks = (encoder.tokenizer.cls_token_id,), (encoder.tokenizer.sep_token_id,)
    assert special_tokens_around(encoder.tokenizer) == marks
    rows = tokenise(encoder.tokenizer, ["plum " * 30, "\ud800", ""], 10)
    assert rows.lengths[0] == 10
    assert rows.ids[0][-1] == encoder.tokenizer.sep_token_id
    assert rows.truncated == 1
    # Chat tokens in a text are text; where there is no text at all, its end is what is read.
    assert end not in tokenise(causal.tokenizer, ["<|im_end|>"], 64).ids[0]
    assert tokenise(causal.tokenizer, [""], 64).ids == ((end,),)


def divided(sizes: list[int], held_out: int, seed: int = 0) -> tuple[Counter[int], list[int]]:
    targets = [kind for kind, size in enumerate(sizes) for _ in range(size)]
    learnt, checked = split_validation(targets, held_out, random.Random(seed))
    assert sorted([*learnt, *checked]) == list(range(len(targets)))
    return Counter(targets[place] for place in checked), checked


@pytest.mark.parametrize(
    ("sizes", "held_out"),
    [([8] * 200, 160), ([251, 749, 500], 150), ([2] * 800, 160), ([9, 1591], 160)],
)
def test_as_many_are_held_out_as_were_planned(sizes: list[int], held_out: int) -> None:
    counts, checked = divided(sizes, held_out)
    assert len(checked) == held_out
    for kind, size in enumerate(sizes):
        assert abs(counts[kind] - size * held_out / sum(sizes)) < 1
        assert counts[kind] < size


def test_every_class_keeps_a_row_to_learn_from_and_chance_decides_on_others() -> None:
    counts, checked = divided([1] * 1000 + [2] * 300, 160)
    assert len(checked) == 160
    assert not any(counts[kind] for kind in range(1000))
    assert max(counts.values()) == 1
    assert divided([1] * 1600, 160)[1] == []
    first, second, again = (divided([8] * 200, 160, seed)[1] for seed in (1, 2, 1))
    assert first == again != second


@pytest.mark.slow
@pytest.mark.parametrize(("distinct", "note"), [(False, "checked on 3 rows"), (True, "no early")])
def test_the_note_names_the_rows_that_were_really_held_out(distinct, note, model, monkeypatch):
    monkeypatch.setattr(classifier, "EARLY_STOPPING_MIN_ROWS", 10)
    strategy = build("lora", seed=0, base=model)
    rows, task = pool(rows=30), TASK
    if distinct:  # each class has one row, so that none can be spared
        names = tuple(f"class {i}" for i in range(len(rows)))
        task = Classification(labels=names, names=names)
        rows = [replace(row, target=name) for row, name in zip(rows, names, strict=True)]
    strategy.fit(task, rows)
    assert note in strategy.facts()["notes"][0]


@pytest.mark.parametrize(
    ("aim", "enough", "left", "steps"),
    # 197 steps of a second are left; 16 steps read 128 rows, and 32 all, which are enough.
    [
        (200, inf, 600, 200),
        (100, inf, 600, 103),
        (38, inf, 900, 32),
        (40, inf, 900, 43),
        (2, inf, 900, 16),
        (2, inf, 200, 7),
        (0, inf, 0, 4),
        (200, 80, 600, 83),
        (100, 2, 600, 32),
        (20, 2, 600, 23),
    ],
)
def test_a_training_is_shortened_to_its_aim_but_reads_some_rows(
    aim, enough, left, steps, monkeypatch
):
    monkeypatch.setattr(fit, "seconds_to_aim", lambda soon: enough if soon else aim)
    monkeypatch.setattr(fit, "seconds_left", lambda: left)
    ends = list[int]()
    run: Any = SimpleNamespace(
        step=3, rows=range(250), schedule=Schedule(200, 8, 1e-3, 0), finished=False
    )
    run.steps_per_pass, run.embeds_after, run.shorten = 32, False, ends.append
    fit.shorten([run], 1.0, 197.0)
    run.embeds_after = True  # all 250 rows, which take nearly four steps
    fit.shorten([run], 1.0, 197.0)
    assert ends[0] == steps
    assert aim != 100 or ends[1] == min(steps, 99)
    run.rows, run.embeds_after = range(2500), False  # of which some are enough
    fit.shorten([run], 1.0, 197.0)
    assert (enough, aim) != (2, 100) or ends[2] == 66


@pytest.mark.parametrize("aim", [inf, 600.0])
def test_a_training_that_is_shortened_is_not_given_up(aim, model, monkeypatch):
    told = list[bool]()
    monkeypatch.setattr(fit, "report_progress", lambda *_, at_most=False: told.append(at_most))
    with time_limit(fits=True, aim=aim):
        fitted(model, rows=pool(rows=20), epochs=1)
    assert {*told[1:]} == {aim < inf}


@pytest.mark.parametrize(("task", "step"), [(TASK, 1), (Writing(), 0)])
def test_a_late_training_ends_soon_as_often_as_it_is_made(task, step, model, monkeypatch):
    """A head takes two steps, as the first one leaves its adapter as it was."""
    last = f"steps after step {step}"
    for aim, known in ((0.0, None), (inf, {last: step + 1.0})):
        monkeypatch.setattr(fit, "seconds_to_aim", lambda _=False, aim=aim: aim)
        monkeypatch.setattr(fit, "seconds_left", lambda: 0.0)
        with as_decided(known) as made:
            build("lora", seed=0, base=model, epochs=9).fit(task, pool(rows=20))
        assert made[last] == step + 1
        assert made.keys() - {SHARE_READ, ROWS_READ} == {last}


def test_a_first_pass_that_time_cuts_reads_a_row_of_each_label_and_their_shares() -> None:
    targets = [0] * 125 + [1 + n % 60 for n in range(125)]
    parts = {"base": SimpleNamespace(device="cpu"), "head": SimpleNamespace(out_features=61)}
    model: Any = SimpleNamespace(**parts)
    run = ClassifierRun(
        model, [(1,) * (1 + n % 7) for n in range(250)], targets, Schedule(200, 8, 1e-3, 0), 0
    )
    read = list[int]()
    while run.step < run.schedule.steps:
        read += [targets[run.training_indices[place]] for place in run.next_batch()]
        run.step += 1
        if shorter := {3: 24, 10: 16}.get(run.step):  # the first pass takes 32
            run.shorten(shorter)
    counts = Counter(read)
    assert (len(read), len(counts)) == (128, 61)
    assert 58 <= counts[0] <= 68


@pytest.mark.slow(seconds=125)
@pytest.mark.data
def test_three_hundred_labels_of_trec6(shared_data: Path) -> None:
    rows, asked = (
        pl.read_csv(shared_data / "trec6" / name, infer_schema=False).select("text", "label").rows()
        for name in ("train.csv", "test.csv")
    )
    labels = tuple(sorted({label for _, label in rows}))
    random.Random("draw0").shuffle(rows)
    drawn = [row for label in labels for row in [r for r in rows if r[1] == label][:50]]
    strategy = build("lora", seed=0)
    strategy.fit(
        Classification(labels=labels, names=labels),
        [Example(id=f"t{i}", text=text, target=label) for i, (text, label) in enumerate(drawn)],
    )
    answers = strategy.predict([Item(id=f"q{i}", text=text) for i, (text, _) in enumerate(asked)])
    truth = [label for _, label in asked]
    # The aim is 0.85 as the mean of three seeds; one seed strays by two points or so.
    assert np.mean([o == t for o, t in zip(answers.outputs, truth, strict=True)]) >= 0.82
