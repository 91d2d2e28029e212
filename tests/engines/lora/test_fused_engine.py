"""The fused engine gives what PEFT and autograd give, alone or together, on any core count."""

import random
import warnings
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from peft.utils import get_peft_model_state_dict
from transformers import AutoConfig, AutoModel

from choose.engines.hardware import batch_limits
from choose.engines.hardware.batch_limits import halvings, within_memory
from choose.engines.lora.batching import pad, ragged_batch, split_batch
from choose.engines.lora.classifier import AdaptedModel, ClassifierRun, untrained_model
from choose.engines.lora.fit import AutogradEngine, train, train_together, training_step
from choose.engines.lora.fused import attention, frozen_layers, layers, linear_layers
from choose.engines.lora.fused import training_step as engine
from choose.engines.lora.fused.attention import LONG, POSITIONS
from choose.engines.lora.fused.frozen_layers import Decoder, PackedLayers
from choose.engines.lora.fused.linear_layers import FlatAdapters, PackedLinear
from choose.engines.lora.fused.training_step import RunPart, _dropout_masks, group_into_passes
from choose.engines.lora.model import AdapterSpec, Base, seeded
from choose.engines.lora.training_run import Schedule, TrainingRun, trained_state
from support.tiny_models import autograd_gradients, fused_gradients, some_rows, tuned

DECODERS, ENCODERS = ("llama", "qwen2", "mistral"), ("bert", "roberta")


@pytest.fixture(autouse=True)
def _whole_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("training_run", "fused.training_step"):
        monkeypatch.setattr(f"choose.engines.lora.{name}.trains_in_bfloat16", lambda: False)


def small(kind: str = "llama", first: bool = False, **more: Any) -> Base:
    shape = {"vocab_size": 60, "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2}
    own = {"num_attention_heads": 6, "num_key_value_heads": 2, "sliding_window": None}
    if kind in ENCODERS:
        dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
        own = {**dropout, "num_attention_heads": 4, "max_position_embeddings": 600}
    config = AutoConfig.for_model(kind, **{**shape, "pad_token_id": 1, **own, **more})
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = AutoModel.from_config(config, dtype=torch.float32).requires_grad_(False).eval()
        for name, parameter in model.named_parameters():
            if kind in ENCODERS or "norm" in name or "bias" in name:
                mean = 1.0 if name.lower().endswith("norm.weight") else 0.0
                torch.nn.init.normal_(parameter, mean, 0.2)
    return Base(model, None, kind in DECODERS, first, "cpu")


def run_of(model: AdaptedModel, lengths: Sequence[int], steps: int = 3) -> ClassifierRun:
    targets = [n % 3 for n in range(len(lengths))]
    return ClassifierRun(model, some_rows(lengths), targets, Schedule(steps, 6, 1e-2, 0), 0)


def run_part(rows: list[list[int]], matrices: Any, dropout: float, seeds: Any) -> RunPart:
    """Rows without a prefix."""
    none, every = [-1] * len(rows), [*range(len(rows))]
    return RunPart(None, matrices, dropout, False, rows, none, every, seeds)


@pytest.mark.parametrize(("long", "share"), [(LONG, 1.0), (4, 1.0), (LONG, 0.5)])
@pytest.mark.parametrize("targets", ["attention", "all"])
@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("kind", [*DECODERS, *ENCODERS])
def test_gradients_are_those_of_autograd(kind, first, targets, long, share, monkeypatch):
    """Of texts with and without neighbours of their length, and of one longer than a part.

    Where rows are long, some positions are computed at a time, and again in backward. Layers below
    the adapted ones are read only.
    """
    monkeypatch.setattr(attention, "LONG", long)
    monkeypatch.setattr(attention, "POSITIONS", 64 if long == LONG else 3)
    base, lengths = small(kind, first), [9, 1, 4, 250 if long == LONG else 40, 9, 2]
    expected = autograd_gradients(run_of(tuned(base, targets, share=share), lengths))
    found = fused_gradients(run_of(tuned(base, targets, share=share), lengths))
    monkeypatch.setattr(engine, "needs_recomputing", lambda *_: True)
    again = fused_gradients(run_of(tuned(base, targets, share=share), lengths))
    assert found.keys() == expected.keys()
    assert share == 1 or not any("layer.0." in name or "layers.0." in name for name in found)
    for name, grad in expected.items():
        assert torch.equal(again[name], found[name])
        torch.testing.assert_close(found[name], grad, rtol=1e-3, atol=1e-6)
        assert float(grad.abs().max()) > 1e-6


@pytest.mark.parametrize("recompute", [True, False])
@pytest.mark.parametrize("targets", ["attention", "all"])
def test_compiled_layers_compute_what_python_does(targets, recompute, monkeypatch):
    """A processor compiles them, so that threads do not wait for Python; to the bit the same."""
    monkeypatch.setattr(attention, "LONG", 20)
    monkeypatch.setattr(attention, "POSITIONS", 16)
    monkeypatch.setattr(engine, "needs_recomputing", lambda *_: recompute)
    for function in (layers.layers_forward, layers.layers_backward):
        assert isinstance(frozen_layers._compiled(function), torch.jit.ScriptFunction)
    run = run_of(tuned(small("qwen2"), targets), [9, 1, 4, 40, 9, 2])
    compiled = [fused_gradients(run) for _ in range(3)]  # optimised on the way
    monkeypatch.setattr(frozen_layers, "_compiled", lambda function: function)
    for name, grad in fused_gradients(run).items():
        assert all(torch.equal(same[name], grad) for same in compiled)


@pytest.mark.parametrize("error", [OSError("no source"), SyntaxError("another frontend"), None])
def test_layers_that_torch_cannot_compile_are_computed_by_python(error, monkeypatch):
    """Without source files, or a torch without TorchScript: slower, and the same."""
    run = run_of(tuned(small()), [9, 1, 4])
    expected = fused_gradients(run)
    frozen_layers._compiled.cache_clear()
    if error is None:
        monkeypatch.delattr(torch.jit, "script")
    else:
        monkeypatch.setattr(torch.jit, "script", Mock(side_effect=error))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = fused_gradients(run)
        assert frozen_layers._compiled(layers.layers_forward) is layers.layers_forward
    finally:
        frozen_layers._compiled.cache_clear()
    assert all(torch.equal(found[name], grad) for name, grad in expected.items())


def test_masks_of_long_rows_are_no_square_of_their_length() -> None:
    layout = Decoder(small().model, torch.float32).layout(ragged_batch(some_rows([700, 9]), "cpu"))
    sizes = {group.longest: tuple(group.mask.shape) for group in layout.groups}
    assert sizes == {700: (POSITIONS, POSITIONS), 9: (9, 9 * 3)}  # query heads of a key head


@pytest.mark.parametrize(
    ("kind", "odd"),
    [
        ("mistral", {"sliding_window": 4}),
        ("bert", {"hidden_act": "relu"}),
        ("bert", {"is_decoder": True}),
    ],
)
def test_other_layers_are_left_to_autograd(kind: str, odd: dict[str, Any]) -> None:
    assert engine.supports(small(kind).model)
    base = small(kind, **odd)
    assert not engine.supports(base.model)
    run = run_of(tuned(base), [5] * 6)
    with training_step([run]) as step:
        assert isinstance(getattr(step, "__self__", None), AutogradEngine)
        step([(run, run.next_batch())])
    assert all(p.grad is not None for p in run.model.head.parameters())


def training_run(
    base: Base, seed: int, rows: int, classes: int, schedule: Schedule, targets: str = "attention"
) -> ClassifierRun:
    lengths = [random.Random(i).randrange(2, 30) for i in range(rows)]
    truth = [i % classes for i in range(rows)]
    with seeded(seed, "cpu"):
        found = untrained_model(base, AdapterSpec(3 + seed, targets, 0.1), classes, "tiny")
    return ClassifierRun(found, some_rows(lengths), truth, schedule, seed)


@pytest.mark.parametrize("kind", ["llama", "bert"])
def test_runs_trained_together_learn_what_each_learns_alone(kind: str) -> None:
    base = small(kind)

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
    assert [run.step for run in together[:2]] == [10, 6]


@pytest.mark.parametrize("count", ["1", "3"])
def test_the_number_of_cores_changes_nothing(count, monkeypatch):
    base, states = small(), []
    for threads in (count, "2"):
        monkeypatch.setenv("CHOOSE_THREADS", threads)
        one = training_run(base, 1, 30, 3, Schedule(12, 8, 1e-2, 0))
        train(ClassifierRun(one.model, one.all_rows, one.all_targets.tolist(), one.schedule, 1))
        assert torch.get_num_threads() == int(threads)
        states.append(trained_state(one.model))
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name])


def test_peft_gets_its_matrices_back() -> None:
    one = training_run(small(), 1, 30, 3, Schedule(6, 8, 1e-2, 0))
    train_together([one])
    for name, parameter in one.model.adapter.named_parameters():
        if parameter.requires_grad:
            size = parameter.untyped_storage().nbytes()
            assert size == parameter.numel() * parameter.element_size(), name
            assert parameter.grad is None


@pytest.mark.parametrize("kind", ["llama", *ENCODERS])
def test_losses_of_a_training_are_those_of_autograd(kind, monkeypatch):
    lengths = [3 + n % 9 for n in range(30)]
    ours = run_of(tuned(small(kind)), lengths, steps=20)
    train(ours)
    monkeypatch.setattr(engine, "supports", lambda *_: False)
    plain = run_of(tuned(small(kind)), lengths, steps=20)
    train(plain)
    assert ours.model.learning is not None
    assert plain.model.learning is not None
    assert ours.model.learning == pytest.approx(plain.model.learning, rel=2e-3)
    theirs = trained_state(plain.model)
    for name, tensor in trained_state(ours.model).items():
        torch.testing.assert_close(tensor, theirs[name], rtol=0, atol=2e-3)


@pytest.mark.parametrize(("room", "halved"), [(30, 5), (16, 6)])
@pytest.mark.parametrize("kind", ENCODERS)
def test_a_batch_is_trained_in_parts_where_memory_runs_out(kind, room, halved, monkeypatch):
    """The gradients are those of the whole batch, and the sizes of parts those that fit."""
    run, passed = run_of(tuned(small(kind)), [9, 1, 4, 12, 9, 2]), list[int]()
    expected, forward = fused_gradients(run), PackedLayers.forward

    def limited(own: PackedLayers, hidden: torch.Tensor, *more: Any, **named: Any) -> Any:
        if len(hidden) > room:
            raise torch.OutOfMemoryError
        passed.append(len(hidden))
        return forward(own, hidden, *more, **named)

    monkeypatch.setattr(PackedLayers, "forward", limited)
    monkeypatch.setattr(batch_limits, "_HALVINGS", Counter[str]())
    found = within_memory("cpu", lambda: fused_gradients(run))
    assert max(passed) <= room
    assert len(passed) >= 37 / room
    assert halvings("cpu") == halved
    for name, grad in expected.items():
        torch.testing.assert_close(found[name], grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("kind", ENCODERS)
def test_predictions_are_those_of_transformers_and_do_not_depend_on_company(kind, first):
    model = tuned(small(kind, first))
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
    run = run_of(tuned(small("bert")), [9, 1, 4, 30, 9, 2])
    with training_step([run]) as step:
        monkeypatch.setattr(torch.nn.Module, "__setattr__", lambda *_: pytest.fail("set"))
        step([(run, run.next_batch())])
        run.apply_gradients()


def test_two_threads_read_as_one_does_and_stay_two() -> None:
    reader = engine.Reader(engine.packed_layers(small("bert"), torch.float32))
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
    assert product.to_outputs.shape == (56, 24)
    whole = torch.cat([one.weight.detach() for one in layers])
    wanted = x @ whole.t() + torch.cat([layers[0].bias.detach(), torch.zeros(40)])
    close = {"rtol": 0.02, "atol": 0.3} if kind == "bfloat16" else {"rtol": 1e-4, "atol": 1e-4}
    torch.testing.assert_close(product.forward(x.to(dtype)).float(), wanted, **close)
    torch.testing.assert_close(
        product.backward(gradient.to(dtype)).float(), gradient @ whole, **close
    )


def test_dropout_keeps_the_mean_and_repeats() -> None:
    base = small()
    decoder = Decoder(base.model, torch.float32)
    pairs = FlatAdapters(tuned(base, "attention").adapter, decoder).matrices()

    def keep(noise: tuple[int, ...]) -> torch.Tensor:
        return _dropout_masks(decoder, run_part([[1] * 400], pairs, 0.2, [(1, noise)]))["qkv"]

    first = keep((1, 2, 0))
    assert first.shape == (2, 400, 24)
    assert float(first.mean()) == pytest.approx(1.0, abs=0.02)
    assert set(np.unique(first.numpy())) == {np.float32(0), np.float32(1.25)}
    assert torch.equal(first, keep((1, 2, 0)))
    assert not torch.equal(first, keep((1, 2, 1)))
    assert not torch.equal(first[0], first[1])
    part = run_part([[1] * 400] * 2, pairs, 0.2, [(1, (1, 2, 0)), (1, (1, 2, 1))])
    assert torch.equal(_dropout_masks(decoder, part)["qkv"], torch.cat([first, keep((1, 2, 1))], 1))
