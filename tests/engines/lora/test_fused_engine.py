"""The fused engine gives what PEFT and autograd give, alone or together, on any core count."""

import random
import warnings
from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from choose.engines.lora.batching import pad, ragged_batch, split_batch
from choose.engines.lora.classifier import (
    AdaptedModel,
    ClassifierRun,
    HeadObjective,
    untrained_model,
)
from choose.engines.lora.fit import (
    AutogradEngine,
    engine_notes,
    train,
    train_together,
    training_step,
)
from choose.engines.lora.fused import attention, frozen_layers, layers, linear_layers
from choose.engines.lora.fused import training_step as engine
from choose.engines.lora.fused.attention import LONG, POSITIONS
from choose.engines.lora.fused.frozen_layers import Decoder
from choose.engines.lora.fused.linear_layers import FlatAdapters, PackedLinear
from choose.engines.lora.fused.training_step import (
    RunPart,
    _dropout_masks,
    forward_backward,
    group_into_passes,
)
from choose.engines.lora.model import AdapterSpec, Base, load_base, seeded
from choose.engines.lora.training_run import Schedule, TrainingRun, trained_state
from support import tiny_models as tiny
from support.tiny_models import named_gradients, some_rows, tuned

KINDS = ("llama", "qwen2", "mistral")


@pytest.fixture(autouse=True)
def _whole_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "trains_in_bfloat16", lambda: False)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    return load_base(str(tiny.causal_lm(tmp_path_factory.mktemp("engine") / "lm")))


def other(kind: str, **more: Any) -> Base:
    """A random decoder of two layers, norms and biases too."""
    import torch
    from transformers import AutoConfig, AutoModel

    config = AutoConfig.for_model(
        kind,
        vocab_size=60,
        hidden_size=24,
        intermediate_size=40,
        num_hidden_layers=2,
        num_attention_heads=6,
        num_key_value_heads=2,
        **{"sliding_window": None, **more},
    )
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = AutoModel.from_config(config).requires_grad_(False).eval()
        for name, parameter in model.named_parameters():
            if "norm" in name or "bias" in name:
                torch.nn.init.normal_(parameter, 1.0, 0.2)
    return Base(model, None, True, False, "cpu")


def run_part(
    rows: list[list[int]], matrices: Any, dropout: float, seeds: Any, objective: Any = None
) -> RunPart:
    """Rows without a prefix."""
    none, every = [-1] * len(rows), [*range(len(rows))]
    return RunPart(objective, matrices, dropout, False, rows, none, every, seeds)


def gradients(
    found: AdaptedModel, rows: list[list[int]], recompute: bool = False
) -> tuple[Any, dict[str, Any]]:
    """What a packed pass finds, by PEFT's names."""
    import torch

    decoder = Decoder(found.base.model, torch.float32)
    adapters = FlatAdapters(found.adapter, decoder)
    targets = torch.arange(len(rows)) % 3
    lengths = torch.tensor([len(row) for row in rows])
    loss = HeadObjective(lengths, targets, torch.full((len(rows),), 0.25), found.head)
    part = run_part(rows, adapters.matrices(), 0.0, [(6, (0,))], loss)
    part = replace(part, recompute=recompute)
    (one,) = forward_backward(decoder, [part])
    adapters.set_gradients([one.adapters])
    named = named_gradients(adapters, found.adapter)
    adapters.detach_memory()
    return one.head, named


@pytest.mark.parametrize("long", [LONG, 4])
@pytest.mark.parametrize("targets", ["attention", "all"])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_peft(kind, targets, long, monkeypatch):
    """Where rows are long, some positions are computed at a time, and again in backward."""
    import torch

    monkeypatch.setattr(attention, "LONG", long)
    monkeypatch.setattr(attention, "POSITIONS", 3)
    found = tuned(other(kind), targets)
    rows = some_rows([9, 1, 4, 40, 9, 2])
    head, named = gradients(found, rows)
    _, again = gradients(found, rows, recompute=True)
    assert all(torch.equal(again[name], grad) for name, grad in named.items())
    logits = found.logits(*pad(rows, "cpu"))
    losses = torch.nn.functional.cross_entropy(logits, torch.arange(6) % 3, reduction="none")
    (0.25 * losses).sum().backward()
    trained = {n: p for n, p in found.adapter.named_parameters() if p.requires_grad}
    assert named.keys() == trained.keys()
    for name, parameter in trained.items():
        torch.testing.assert_close(named[name], parameter.grad, rtol=1e-3, atol=1e-6)
        assert float(parameter.grad.abs().max()) > 1e-6
    for mine, parameter in zip(head, found.head.parameters(), strict=True):
        torch.testing.assert_close(mine, parameter.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("recompute", [True, False])
@pytest.mark.parametrize("targets", ["attention", "all"])
def test_compiled_layers_compute_what_python_does(targets, recompute, monkeypatch):
    """A processor compiles them, so that threads do not wait for Python; to the bit the same."""
    import torch

    monkeypatch.setattr(attention, "LONG", 20)
    monkeypatch.setattr(attention, "POSITIONS", 16)
    for function in (layers.layers_forward, layers.layers_backward, layers.layers_read):
        assert isinstance(frozen_layers._compiled(function), torch.jit.ScriptFunction)
    found, rows = tuned(other("qwen2"), targets), some_rows([9, 1, 4, 40, 9, 2])
    runs = [gradients(found, rows, recompute=recompute) for _ in range(3)]  # optimised on the way
    monkeypatch.setattr(frozen_layers, "_compiled", lambda function: function)
    head, named = gradients(found, rows, recompute=recompute)
    for same_head, same in runs:
        assert all(torch.equal(same[name], grad) for name, grad in named.items())
        assert all(map(torch.equal, same_head, head))


@pytest.mark.parametrize("error", [OSError("no source"), SyntaxError("another frontend"), None])
def test_layers_that_torch_cannot_compile_are_computed_by_python(error, base, monkeypatch):
    """Without source files, or a torch without TorchScript: slower, and a note says so."""
    import torch

    found, rows = tuned(base, "all"), some_rows([9, 1, 4])
    head, named = gradients(found, rows)
    assert engine_notes(base, "all") == []
    frozen_layers._compiled.cache_clear()
    if error is None:
        monkeypatch.delattr(torch.jit, "script")
    else:
        monkeypatch.setattr(torch.jit, "script", Mock(side_effect=error))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            same_head, same = gradients(found, rows)
        assert frozen_layers._compiled(layers.layers_forward) is layers.layers_forward
        [note] = engine_notes(base, "all")
    finally:
        frozen_layers._compiled.cache_clear()
    assert note.startswith("torch could not compile the layers")
    assert all(torch.equal(same[name], grad) for name, grad in named.items())
    assert all(map(torch.equal, same_head, head))


def test_masks_of_long_rows_are_no_square_of_their_length(base: Base) -> None:
    import torch

    layout = Decoder(base.model, torch.float32).layout(ragged_batch(some_rows([700, 9]), "cpu"))
    sizes = {group.longest: tuple(group.mask.shape) for group in layout.groups}
    heads = base.model.config.num_attention_heads // base.model.config.num_key_value_heads
    assert sizes == {700: (POSITIONS, POSITIONS), 9: (9, 9 * heads)}


def test_a_window_that_slides_is_left_to_autograd(base: Base) -> None:
    sliding = other("mistral", sliding_window=4)
    assert not engine.supports(sliding.model)
    assert engine.supports(base.model)
    run = ClassifierRun(
        tuned(sliding), some_rows([5] * 6), [0, 1, 2] * 2, Schedule(3, 3, 1e-2, 0), 0
    )
    with training_step([run]) as step:
        assert isinstance(getattr(step, "__self__", None), AutogradEngine)
        step([(run, run.next_batch())])
    assert all(p.grad is not None for p in run.model.head.parameters())


def training_run(
    base: Base, seed: int, rows: int, classes: int, schedule: Schedule, targets: str = "attention"
) -> ClassifierRun:
    lengths = [random.Random(i).randrange(2, 30) for i in range(rows)]
    words = min(60, base.model.config.vocab_size)
    truth = [i % classes for i in range(rows)]
    with seeded(seed, "cpu"):
        found = untrained_model(base, AdapterSpec(3 + seed, targets, 0.1), classes, "tiny")
    return ClassifierRun(found, some_rows(lengths, words), truth, schedule, seed)


def test_runs_trained_together_learn_what_each_learns_alone(base: Base) -> None:
    import torch

    def several() -> list[TrainingRun]:
        return [
            training_run(base, 1, 30, 3, Schedule(10, 8, 1e-2, 0)),
            training_run(base, 2, 17, 2, Schedule(6, 4, 1e-2, 0), "all"),
            training_run(base, 3, 40, 5, Schedule(12, 8, 1e-2, 10)),
        ]

    together, alone = several(), several()
    train_together(together)
    for one in alone:
        train_together([one])
    for mine, own in zip(together, alone, strict=True):
        assert mine.step == own.step
        mine_state, own_state = trained_state(mine.model), trained_state(own.model)
        for name, tensor in own_state.items():
            torch.testing.assert_close(mine_state[name], tensor, rtol=0, atol=2e-4)
    assert together[0].step == 10
    assert together[1].step == 6


@pytest.mark.parametrize("count", ["1", "3"])
def test_the_number_of_cores_changes_nothing(base, count, monkeypatch):
    import torch

    states = []
    for threads in (count, "2"):
        monkeypatch.setenv("CHOOSE_THREADS", threads)
        one = training_run(base, 1, 30, 3, Schedule(12, 8, 1e-2, 0))
        train(ClassifierRun(one.model, one.all_rows, one.all_targets.tolist(), one.schedule, 1))
        assert torch.get_num_threads() == int(threads)
        states.append(trained_state(one.model))
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name])


def test_peft_gets_its_matrices_back(base: Base) -> None:
    one = training_run(base, 1, 30, 3, Schedule(6, 8, 1e-2, 0))
    train_together([one])
    for name, parameter in one.model.adapter.named_parameters():
        if parameter.requires_grad:
            size = parameter.untyped_storage().nbytes()
            assert size == parameter.numel() * parameter.element_size(), name
            assert parameter.grad is None


def test_both_engines_learn_alike(base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = []
    for packed in (True, False):
        monkeypatch.setattr(engine, "supports", lambda *_, packed=packed: packed)
        one = training_run(base, 1, 30, 3, Schedule(20, 8, 1e-2, 0))
        train_together([one])
        losses.append(one._loss(range(len(one.all_rows))))
    # The adapters meet another dropout, nothing else differs.
    assert losses[0] == pytest.approx(losses[1], rel=0.2)


def test_a_batch_is_divided_evenly_and_into_no_part_too_large() -> None:
    lengths = [random.Random(i).randrange(1, 128) for i in range(32)]
    found = split_batch(lengths, 1024)
    assert sorted(place for part in found for place in part) == list(range(32))
    sizes = [sum(lengths[i] for i in part) for part in found]
    assert max(sizes) - min(sizes) <= max(lengths)
    assert max(sizes) <= 1024 + max(lengths)
    assert split_batch([7], 1024) == [[0]]
    assert len(split_batch([128] * 32, 1024)) == 4
    assert len(split_batch([128] * 32, 700)) == 6


def test_passes_hold_several_trials_but_not_too_many_tokens() -> None:
    part = run_part([[1] * 100], {}, 0.0, [])
    grouped = group_into_passes([part] * 20, 10, 2, 640)
    assert sum(map(len, grouped)) == 20
    assert max(100 * len(one) for one in grouped) <= 640 + 50
    assert [len(one) for one in group_into_passes([part] * 2, 1, 2, 640)] == [1, 1]
    assert [len(one) for one in group_into_passes([part] * 4, 2, 2, 640)] == [2, 2]


def test_passes_of_uneven_trials_are_about_as_large() -> None:
    """A step takes as long as its largest pass; neighbours alone made it 5 % larger."""
    over = []
    for seed in range(20):
        chooser = random.Random(seed)
        sizes = [chooser.randrange(40, 160) for _ in range(10)]
        parts = [run_part([[1] * size], {}, 0.0, []) for size in sizes]
        passes = group_into_passes(parts, 10, 2, 1024)
        assert sorted(n for some in passes for n in some) == list(range(10))
        over.append(2 * max(sum(sizes[n] for n in some) for some in passes) / sum(sizes))
    assert sum(over) / len(over) < 1.025


@pytest.mark.parametrize("packing", [True, False])
@pytest.mark.parametrize("kind", ["float32", "bfloat16"])
def test_frozen_products(packing: bool, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    if not packing:
        monkeypatch.setattr(linear_layers, "can_pack", lambda _: False)
    dtype = getattr(torch, kind)
    generator = torch.Generator().manual_seed(0)
    layers = [torch.nn.Linear(24, 16), torch.nn.Linear(24, 40, bias=False)]
    x, gradient = torch.randn(7, 24, generator=generator), torch.randn(7, 56, generator=generator)
    product = PackedLinear.of(layers, dtype)
    assert product.packed <= packing
    if not product.packed:  # one matrix in memory serves both directions
        pointers = {m.untyped_storage().data_ptr() for m in (product.to_outputs, product.to_inputs)}
        assert len(pointers) == 1
    assert (product.inputs, product.outputs) == (24, 56)
    whole = torch.cat([one.weight.detach() for one in layers])
    wanted = x @ whole.t() + torch.cat([layers[0].bias.detach(), torch.zeros(40)])
    close = {"rtol": 0.02, "atol": 0.3} if kind == "bfloat16" else {"rtol": 1e-4, "atol": 1e-4}
    torch.testing.assert_close(product.forward(x.to(dtype)).float(), wanted, **close)
    torch.testing.assert_close(
        product.backward(gradient.to(dtype)).float(), gradient @ whole, **close
    )


def test_dropout_keeps_the_mean_and_repeats(base: Base) -> None:
    import torch

    decoder = Decoder(base.model, torch.float32)
    pairs = FlatAdapters(tuned(base, "attention").adapter, decoder).matrices()

    def keep(noise: tuple[int, ...]) -> torch.Tensor:
        part = run_part([[1] * 400], pairs, 0.2, [(1, noise)])
        return _dropout_masks(decoder, part)["qkv"]

    first = keep((1, 2, 0))
    assert first.shape == (2, 400, 32)
    assert float(first.mean()) == pytest.approx(1.0, abs=0.02)
    assert set(np.unique(first.numpy())) == {np.float32(0), np.float32(1.25)}
    assert torch.equal(first, keep((1, 2, 0)))
    assert not torch.equal(first, keep((1, 2, 1)))
    assert not torch.equal(first[0], first[1])
    both = [(1, (1, 2, 0)), (1, (1, 2, 1))]
    part = run_part([[1] * 400] * 2, pairs, 0.2, both)
    assert torch.equal(_dropout_masks(decoder, part)["qkv"][:, :400], first)
    assert torch.equal(_dropout_masks(decoder, part)["qkv"][:, 400:], keep((1, 2, 1)))
