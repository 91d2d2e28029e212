"""Where weights go, and what happens when memory runs out: real errors, injected figures."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from choose.engines.causal.label_scoring import LabelTrie
from choose.engines.causal.loading import load_causal, load_generator
from choose.engines.causal.stop_rules import StopRule
from choose.engines.hardware import batch_limits, device_and_dtype, placement
from choose.engines.hardware.batch_limits import (
    MOST_HALVINGS,
    fit_limits,
    free_machine_bytes,
    halvings,
    limits_of,
    within_memory,
)
from choose.engines.hardware.device_and_dtype import trains_in_bfloat16
from choose.engines.hardware.placement import check_fits, count_weights
from choose.engines.lora import model as adapters
from choose.engines.lora.classifier import ClassifierRun
from choose.engines.lora.fit import train, training_step
from choose.engines.lora.fused import linear_layers
from choose.engines.lora.fused import training_step as training_step_of_engine
from choose.engines.lora.model import Base, load_base
from choose.engines.lora.training_run import Schedule
from choose.engines.weights.resolve import weights_digest
from choose.errors import ModelError, StrategyError
from support import tiny_models as tiny
from support.families import DECODERS, ENCODERS
from support.tiny_models import autograd_gradients, tuned

GB = 10**9
EIGHT = 8 * GB


@pytest.fixture(autouse=True)
def _usual_limits() -> Iterator[None]:
    yield
    batch_limits._HALVINGS.clear()
    batch_limits._FITTED.clear()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny.causal_lm(tmp_path_factory.mktemp("placed") / "lm", spread=0.5))


def test_what_torch_keeps_of_tensors_that_are_gone_is_free(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (3 * GB, 24 * GB))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda: 19 * GB)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda: 6 * GB)
    assert batch_limits.free_bytes("cuda") == 16 * GB
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 12 * GB)
    monkeypatch.setattr(torch.mps, "current_allocated_memory", lambda: 5 * GB)
    monkeypatch.setattr(torch.mps, "driver_allocated_memory", lambda: 11 * GB)
    assert batch_limits.free_bytes("mps") == 7 * GB


@pytest.mark.parametrize(
    "says",
    [
        "CUDA out of memory. Tried to allocate 2.00 GiB",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    ],
)
def test_memory_errors_of_cards_are_known(says: str) -> None:
    assert batch_limits.is_out_of_memory(RuntimeError(says))
    assert batch_limits.is_out_of_memory(torch.OutOfMemoryError("Allocation failed"))
    assert not batch_limits.is_out_of_memory(RuntimeError("CUDA error: INVALID_VALUE"))


@pytest.mark.parametrize(("packing", "copies"), [(True, 2), (False, 1)])
def test_tuning_that_the_machine_does_not_hold_is_refused(packing, copies, folder, monkeypatch):
    """The system would end the process without a word; packed products need a second copy."""
    size = 2 if trains_in_bfloat16() else 4
    weights = sum(p.numel() for p in load_base(folder).model.layers.parameters())
    for module in (training_step_of_engine, linear_layers):
        monkeypatch.setattr(module, "can_pack", lambda dtype: packing)
    for free, refuses in ((copies * size * weights - 1, True), (copies * size * weights, False)):
        monkeypatch.setattr(placement, "free_machine_bytes", lambda free=free: free)
        says = r"Tuning LlamaModel needs .* this machine has 0 MB free"
        run = a_run(replace(load_base(folder), engine_state={}))
        with pytest.raises(ModelError, match=says) if refuses else nullcontext():  # noqa: SIM117
            with training_step([run]):
                pass


@pytest.mark.parametrize(
    ("where", "free", "says"),
    [
        ("cuda", 10, "needs 16.0 GB .* cuda here has 10.0 GB free.* 5.0 billion weights, set"),
        ("cuda", 3, "at most 1.5 billion weights"),
        ("cpu", 14, "this machine has 14.0 GB free"),
    ],
)
def test_too_little_memory_is_said_with_what_would_fit(monkeypatch, where, free, says):
    monkeypatch.setattr(placement, "free_bytes", lambda _: free * GB)
    with pytest.raises(ModelError, match=says):
        check_fits(EIGHT, "m", 2, where)
    monkeypatch.setattr(placement, "free_bytes", lambda _: 16 * GB)
    check_fits(EIGHT, "m", 2, where)
    monkeypatch.setattr(placement, "free_bytes", lambda _: None)
    check_fits(EIGHT, "m", 2, where)


def test_a_model_that_does_not_fit_is_not_loaded(folder, monkeypatch):
    monkeypatch.setattr(placement, "free_bytes", lambda _: 10_000)
    with pytest.raises(ModelError, match=r"needs .* its 0\.0 billion weights .* has 0 MB"):
        adapters._loaded.__wrapped__(folder, weights_digest(folder), False)


def test_weights_go_straight_to_the_card(folder, monkeypatch):
    asked = []

    def load(loader: Any, place: Path, **options: Any) -> None:
        asked.append(options)
        raise ModelError("enough was seen")

    monkeypatch.setattr(placement, "_loaded", load)
    monkeypatch.setattr(placement, "free_bytes", lambda _: None)
    for where in ("cuda", "cpu"):
        monkeypatch.setattr(placement, "device", lambda where=where: where)
        with pytest.raises(ModelError, match="enough"):
            placement.load_placed(None, Path(folder), dtype=torch.bfloat16, kind="model")
    kept = {"dtype": torch.bfloat16}
    assert asked == [{**kept, "device_map": {"": "cuda"}}, kept]


def test_limits_fit_the_card() -> None:
    whole = limits_of("cuda")
    fit_limits("cuda", 70 * GB)
    assert limits_of("cuda:0") == whole
    fit_limits("cuda", 10 * GB)
    small = limits_of("cuda")
    assert small.activation_bytes * 4 == whole.activation_bytes
    assert small.needed_bytes < 9 * GB
    assert small.scoring_tokens * 4 == whole.scoring_tokens
    usual = limits_of("cpu")
    fit_limits("cpu", 1000)
    assert limits_of("cpu") == usual, "answers must not depend on a CPU's load"


def test_the_lower_of_machine_and_container_is_free(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 900 kB\nMemAvailable:  500 kB\n")
    assert free_machine_bytes(tmp_path) == 512_000
    group = tmp_path / "sys/fs/cgroup"
    group.mkdir(parents=True)
    (group / "memory.max").write_text("300000\n")
    (group / "memory.current").write_text("250000\n")
    (group / "memory.stat").write_text("anon 1\ninactive_file 50000\n")
    assert free_machine_bytes(tmp_path) == 100_000
    (group / "memory.max").write_text("max\n")
    assert free_machine_bytes(tmp_path) == 512_000


def exhaust() -> None:
    """Ask for more memory than there is: the error is torch's own."""
    torch.empty(1 << 58, dtype=torch.uint8)


@contextmanager
def room_for(module: Any, tokens: int, widths: list[int]) -> Iterator[None]:
    """Let a layer run out of memory where a pass has more tokens; note what passed."""

    def hook(_: Any, inputs: Any) -> None:
        count = inputs[0].numel() // inputs[0].shape[-1]
        if count > tokens:
            exhaust()
        widths.append(count)

    handle = module.register_forward_pre_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def test_scores_and_texts_are_the_same_in_smaller_passes(folder: str) -> None:
    lm, generator = load_causal(folder), load_generator(folder)
    content, end = lm.template.content, lm.template.end
    grown = LabelTrie.build([content(w) for w in ("pear", "apple", "plum")], end)
    told = ("system", "Sort: pear, apple or plum.")
    texts = [f"{n} ripe " * 9 for n in range(12)]
    prompts = [lm.template.prompt([told, ("user", text)], 1) for text in texts]
    lm.answers.clear()
    whole, texts_whole = lm.score(prompts, grown), generator.write(prompts, StopRule(5))
    lm.answers.clear()
    generator.answers.clear()
    lm.cache, generator.cache, caches = None, None, (lm.cache, generator.cache)
    longest = max(len(p.rest) for p in prompts) + len(grown.tokens)
    layer, widths = lm.model.model.layers[0].mlp, list[int]()
    try:
        with room_for(layer, 3 * longest, widths):
            parts = lm.score(prompts, grown)
            assert widths
            assert max(widths) <= 3 * longest
            assert halvings("cpu") > 0
            assert any("batches were cut to 1/" in note for note in lm.notes())
            batch_limits._HALVINGS.clear()
            written = generator.write(prompts, StopRule(5))
            assert halvings("cpu") > 0
    finally:
        lm.cache, generator.cache = caches
    assert np.abs(parts.logprobs - whole.logprobs).max() < 0.2
    assert written.texts == texts_whole.texts or lm.model.dtype is torch.bfloat16


def test_what_no_halving_helps_ends_with_advice() -> None:
    with pytest.raises(ModelError, match=r"does not suffice for a single text: .*max_tokens"):
        within_memory("cpu", exhaust)
    assert halvings("cpu") == MOST_HALVINGS
    batch_limits._HALVINGS.clear()
    with pytest.raises(RuntimeError, match="other"):
        within_memory("cpu", lambda: (_ for _ in ()).throw(RuntimeError("other")))
    assert not halvings("cpu")


def a_run(base: Base, rows: int = 8, rate: float = 1e-2) -> ClassifierRun:
    texts = [[5 + (i * j) % 50 for j in range(4 + i)] for i in range(rows)]
    return ClassifierRun(
        tuned(base), texts, [i % 3 for i in range(rows)], Schedule(3, rows, rate, 0), 0
    )


@pytest.mark.slow
@pytest.mark.parametrize("family", ["Qwen3", "DeBERTa-v3"])
@pytest.mark.parametrize("room", [36, 12])
def test_a_batch_is_trained_in_parts_where_memory_runs_out(family, room, tmp_path, monkeypatch):
    """The gradient of a batch is that of its parts, and of layers that are computed twice."""
    monkeypatch.setattr("choose.engines.lora.training_run.trains_in_bfloat16", lambda: False)
    base = load_base(str({**DECODERS, **ENCODERS}[family].save(tmp_path, head=family in DECODERS)))
    whole = autograd_gradients(a_run(base))
    run, widths = a_run(base), list[int]()
    inner = run.model.adapter.get_base_model()
    layer = (inner.encoder.layer if family == "DeBERTa-v3" else inner.layers)[0]
    with room_for(layer, room, widths):
        parts = within_memory("cpu", lambda: autograd_gradients(run))
    assert halvings("cpu") == (2 if room == 36 else 3)
    assert run.model.adapter.get_base_model().is_gradient_checkpointing
    assert parts.keys() == whole.keys()
    for name, grad in whole.items():
        torch.testing.assert_close(parts[name], grad, rtol=1e-4, atol=1e-6)


def test_reading_goes_on_where_memory_ran_out(folder, monkeypatch):
    rows = [[5 + (i * j) % 20 for j in range(4 + i)] for i in range(20)]
    widths, reports = list[int](), list[tuple[float, float]]()
    monkeypatch.setattr(
        "choose.engines.lora.classifier.report_progress",
        lambda done, of, _: reports.append((done, of)),
    )
    model = tuned(load_base(folder))
    layer, read = model.adapter.get_base_model().layers[0], model.predict_logits
    whole = read(rows)
    small = replace(limits_of("cpu"), prediction_tokens=200)
    monkeypatch.setitem(batch_limits._LIMITS, "cpu", small)
    with room_for(layer, 60, widths):
        parts = read(rows, "reading")
    assert halvings("cpu") == 2
    assert max(widths) <= 60
    assert reports[-1] == (20, 20)
    np.testing.assert_allclose(parts, whole, rtol=0, atol=1e-4)


def test_a_loss_that_is_no_number_fails_with_its_step(folder: str) -> None:
    run, steps = a_run(load_base(folder)), list[int]()
    apply = run.apply_gradients

    def spoil() -> None:
        steps.append(run.step)
        if run.step == 1:
            run.weights.fill_(torch.nan)
        apply()

    run.apply_gradients = spoil
    with pytest.raises(StrategyError, match=r"NaN or infinite at step 3 of 3.*learning_rate"):
        train(run)
    assert steps == [0, 1, 2]


@pytest.mark.parametrize("value", ["cuda", "mps"])
def test_a_gpu_that_is_not_here_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHOOSE_DEVICE", value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(device_and_dtype, "device", device_and_dtype.device.__wrapped__)
    with pytest.raises(ModelError, match=f"CHOOSE_DEVICE is '{value}'.*here it can be cpu"):
        device_and_dtype.check_compute()
    monkeypatch.setenv("CHOOSE_DEVICE", "tpu")
    with pytest.raises(ModelError, match="it can be cpu, cuda or mps"):
        device_and_dtype.check_compute()
    monkeypatch.setenv("CHOOSE_DEVICE", "cpu")
    device_and_dtype.check_compute()


@pytest.mark.parametrize(
    ("device", "has", "emulates"),
    [
        ("cpu", True, True),
        ("cpu", False, False),
        ("mps", True, True),
        ("mps", False, False),
        ("cuda", True, True),
        ("cuda", False, True),  # a T4
    ],
)
def test_the_number_type_is_what_the_hardware_computes_itself(device, has, emulates, monkeypatch):
    def supported(including_emulation: bool = True) -> bool:
        return has or (including_emulation and emulates)

    kind = torch.bfloat16 if has else torch.float32
    monkeypatch.setattr(device_and_dtype, "device", lambda: device)
    monkeypatch.setattr(device_and_dtype, "dtype", device_and_dtype.dtype.__wrapped__)
    monkeypatch.setattr(device_and_dtype, "multiplies_bfloat16", lambda: has)
    monkeypatch.setattr(torch.backends.mps, "is_macos_or_newer", lambda *_: has)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert device_and_dtype.dtype() is kind
    assert device_and_dtype.trains_in_bfloat16() is has
    assert device_and_dtype.base_dtype() is (torch.float32 if device == "cpu" else kind)


def test_a_class_that_transformers_does_not_know_is_one_line(refusal, tmp_path: Path) -> None:
    other = tiny.causal_lm(tmp_path / "other")
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "model_type": "newest"}))
    for load in (load_base, load_causal):
        said = refusal(ModelError, load, str(other))
        assert "'newest'" in said
        assert "trust_remote_code" not in said


@pytest.mark.parametrize("name", ["Qwen2", "BERT"])
def test_sizes_are_read_from_headers(name: str, tmp_path: Path) -> None:
    folder = {**DECODERS, **ENCODERS}[name].save(tmp_path, head=name in DECODERS)
    base = load_base(str(folder), writes=name in DECODERS)
    assert count_weights(folder) == sum(p.numel() for p in (base.lm or base.model).parameters())
