"""The engine trains and reads encoders as PEFT, transformers and autograd do."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from peft.utils import get_peft_model_state_dict
from transformers import AutoConfig, AutoModel

from choose.engines.hardware import memory
from choose.engines.hardware.memory import halvings, within_memory
from choose.engines.lora.batching import pad
from choose.engines.lora.classifier import AdaptedModel, ClassifierRun
from choose.engines.lora.fit import AutogradEngine, train, train_together, training_step
from choose.engines.lora.fused import training_step as engine
from choose.engines.lora.fused.frozen_layers import PackedLayers
from choose.engines.lora.model import Base
from choose.engines.lora.training_run import Schedule, trained_state
from support.tiny_models import named_gradients, some_rows, tuned

KINDS = ("bert", "roberta")


@pytest.fixture(autouse=True)
def _whole_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("training_run", "fused.training_step"):
        monkeypatch.setattr(f"choose.engines.lora.{name}.trains_in_bfloat16", lambda: False)


def encoder(kind: str = "bert", first: bool = False, **more: Any) -> Base:
    """A random encoder of two layers without dropout."""
    shape = {"hidden_size": 24, "intermediate_size": 40, "num_attention_heads": 4}
    plain = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "vocab_size": 60}
    size = {"num_hidden_layers": 2, "max_position_embeddings": 600, "pad_token_id": 1}
    config = AutoConfig.for_model(kind, **shape, **plain, **size, **more)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = AutoModel.from_config(config, dtype=torch.float32).requires_grad_(False).eval()
        for name, parameter in model.named_parameters():
            torch.nn.init.normal_(parameter, 1.0 if "LayerNorm.weight" in name else 0.0, 0.2)
    return Base(model, None, False, first, "cpu")


def run_of(model: AdaptedModel, lengths: Sequence[int], steps: int = 3) -> ClassifierRun:
    targets = [n % 3 for n in range(len(lengths))]
    return ClassifierRun(model, some_rows(lengths), targets, Schedule(steps, 6, 1e-2, 0), 0)


def gradients(run: ClassifierRun) -> dict[str, torch.Tensor]:
    """The gradients of a step on all rows, by PEFT's names."""
    batch = [(run, [*range(len(run.rows))])]
    fused = engine.FusedEngine([run])
    with ThreadPoolExecutor(1) as pool:
        fused.step(batch, pool)
    [adapters] = fused._adapters.values()
    found = named_gradients(adapters, run.model.adapter)
    fused.detach_memory()
    return found | of_head(run)


def of_head(run: ClassifierRun) -> dict[str, torch.Tensor]:
    """The gradients of the head."""
    named = run.model.head_parameters.items()
    return {f"head.{name}": p.grad.clone() for name, p in named}


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("targets", ["attention", "all"])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_transformers(kind, targets, first, monkeypatch):
    """Of texts with and without neighbours of their length, and of one longer than a part."""
    base = encoder(kind, first)
    lengths = [9, 1, 4, 250, 9, 2]
    plain = run_of(tuned(base, targets), lengths)
    AutogradEngine([plain]).step([(plain, [*range(6)])])
    named = plain.model.adapter.named_parameters()
    expected = {n: p.grad for n, p in named if p.requires_grad} | of_head(plain)
    found = gradients(run_of(tuned(base, targets), lengths))
    monkeypatch.setattr(engine, "needs_recomputing", lambda *_: True)
    again = gradients(run_of(tuned(base, targets), lengths))
    assert found.keys() == expected.keys()
    for name, grad in expected.items():
        assert torch.equal(again[name], found[name])
        torch.testing.assert_close(found[name], grad, rtol=1e-3, atol=1e-6)
        assert float(grad.abs().max()) > 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_losses_of_a_training_are_those_of_autograd(kind, monkeypatch):
    lengths = [3 + n % 9 for n in range(30)]
    ours = run_of(tuned(encoder(kind)), lengths, steps=20)
    train(ours)
    monkeypatch.setattr(engine, "supports", lambda *_: False)
    plain = run_of(tuned(encoder(kind)), lengths, steps=20)
    train(plain)
    assert ours.model.learning is not None
    assert plain.model.learning is not None
    assert ours.model.learning == pytest.approx(plain.model.learning, rel=2e-3)
    theirs = trained_state(plain.model)
    for name, tensor in trained_state(ours.model).items():
        torch.testing.assert_close(tensor, theirs[name], rtol=0, atol=2e-3)


@pytest.mark.parametrize(("room", "halved"), [(30, 5), (16, 6)])
@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_is_trained_in_parts_where_memory_runs_out(kind, room, halved, monkeypatch):
    """The gradients are those of the whole batch, and the sizes of parts those that fit."""
    run, passed = run_of(tuned(encoder(kind)), [9, 1, 4, 12, 9, 2]), list[int]()
    expected, forward = gradients(run), PackedLayers.forward

    def small(own: PackedLayers, hidden: torch.Tensor, *more: Any, **named: Any) -> Any:
        if len(hidden) > room:
            raise torch.OutOfMemoryError
        passed.append(len(hidden))
        return forward(own, hidden, *more, **named)

    monkeypatch.setattr(PackedLayers, "forward", small)
    monkeypatch.setattr(memory, "_HALVINGS", Counter[str]())
    found = within_memory("cpu", lambda: gradients(run))
    assert max(passed) <= room
    assert len(passed) >= 37 / room
    assert halvings("cpu") == halved
    for name, grad in expected.items():
        torch.testing.assert_close(found[name], grad, rtol=1e-4, atol=1e-6)


def test_runs_trained_together_learn_what_each_learns_alone() -> None:
    base = encoder()

    def several() -> list[ClassifierRun]:
        return [
            run_of(tuned(base, t), [5 + n % 7 for n in range(20)], 8) for t in ("all", "attention")
        ]

    together, alone = several(), several()
    train_together(together)
    for run, other in zip(together, alone, strict=True):
        train(other)
        mine, own = trained_state(run.model), trained_state(other.model)
        for name, tensor in own.items():
            torch.testing.assert_close(mine[name], tensor, rtol=0, atol=2e-4)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_predictions_are_those_of_transformers_and_do_not_depend_on_company(kind, first):
    model = tuned(encoder(kind, first))
    rows = some_rows([9, 1, 4, 300, 9, 2])
    before = get_peft_model_state_dict(model.adapter)
    found, bare = model.predict_logits(rows), model.predict_logits(rows, adapted=False)
    for n, row in enumerate(rows):
        with torch.no_grad():
            expected = model.logits(*pad([row], "cpu"))[0]
            with model.adapter.disable_adapter():
                without = model.logits(*pad([row], "cpu"))[0]
        torch.testing.assert_close(found[n], expected, rtol=0, atol=1e-4)
        torch.testing.assert_close(bare[n], without, rtol=0, atol=1e-4)
        torch.testing.assert_close(model.predict_logits([row])[0], found[n], rtol=0, atol=1e-5)
    assert float((found - bare).abs().max()) > 1e-2
    for name, tensor in get_peft_model_state_dict(model.adapter).items():
        assert torch.equal(tensor, before[name])


def test_no_attribute_of_a_module_is_set_in_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_of(tuned(encoder()), [9, 1, 4, 30, 9, 2])
    with training_step([run]) as step:
        monkeypatch.setattr(torch.nn.Module, "__setattr__", lambda *_: pytest.fail("set"))
        step([(run, run.next_batch())])
        run.apply_gradients()


@pytest.mark.parametrize("odd", [{"hidden_act": "relu"}, {"is_decoder": True}])
def test_other_layers_are_left_to_autograd(odd: dict[str, Any]) -> None:
    assert engine.supports(encoder().model)
    assert not engine.supports(encoder(**odd).model)


def test_two_threads_read_as_one_does_and_stay_two() -> None:
    reader = engine.Reader(engine.packed_layers(encoder(), torch.float32))
    rows, before, read = some_rows([9, 40, 200, 41] * 12), torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            read.append(torch.cat(reader.states_by_row(rows)))
            assert reader.states_by_row([]) == []
            with pytest.raises(IndexError):
                reader.states_by_row([*rows, [999]])
            with ThreadPoolExecutor(1) as pool:  # a new thread takes what was set last
                assert pool.submit(torch.get_num_threads).result() == threads
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(*read, rtol=0, atol=1e-6)
