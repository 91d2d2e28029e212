"""A prompted model and the base of an adapter are one set of weights in memory."""

import gc
import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from choose.conformance import TASK, pool, questions
from choose.errors import ModelError
from choose.models.causal import loading as causal_load
from choose.models.hardware import compute_settings as runtime
from choose.models.hardware.memory import _malloc_trim, release_memory
from choose.models.lora import model as adapters
from choose.models.weights.resolve import weights_digest
from choose.strategy import build
from support import tiny_models as tiny

SPACE = 64 * 1024 * 1024


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CHOOSE_DTYPE", "float32")
    monkeypatch.setattr(runtime, "dtype", runtime.dtype.__wrapped__)
    monkeypatch.setattr(causal_load, "dtype", runtime.dtype)
    return Path(tiny.causal_lm(tmp_path / "lm"))


def anew(module: Any, folder: Path) -> Any:
    """Load as a process does that has loaded nothing before."""
    load = module._loaded.__wrapped__
    writes = [False] if "writes" in inspect.signature(load).parameters else []
    return load(str(folder), weights_digest(str(folder)), *writes)


def tensors(model: torch.nn.Module) -> set[int]:
    return {parameter.data_ptr() for parameter in model.parameters()}


@pytest.mark.parametrize("first", ["base", "lm"])
def test_the_same_weights_are_held_once(folder: Path, first: str) -> None:
    def base() -> torch.nn.Module:
        return anew(adapters, folder).model

    def lm() -> torch.nn.Module:
        return anew(causal_load, folder).model

    loaded = [base(), lm()] if first == "base" else [lm(), base()]
    one, other = tensors(loaded[0]), tensors(loaded[1])
    assert min(one, other, key=len) <= max(one, other, key=len)


def test_tuning_leaves_the_prompted_model_as_it_was(folder: Path) -> None:
    prompted = build("prompt", seed=0, model=str(folder))
    prompted.fit(TASK, pool())
    before = prompted.predict(questions()).scores
    lm = causal_load.load_causal(str(folder))
    weights = {name: tensor.clone() for name, tensor in lm.model.named_parameters()}
    tuned = build("lora", seed=0, base=str(folder))
    tuned.fit(TASK, pool())
    tuned.predict(questions())
    lm.answers.clear()
    assert np.array_equal(prompted.predict(questions()).scores, before)
    now = dict(lm.model.named_parameters())
    assert all(torch.equal(now[name], tensor) for name, tensor in weights.items())


def resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


@pytest.mark.skipif(_malloc_trim() is None, reason="another C library keeps no freed memory")
def test_freed_memory_goes_back_to_the_system() -> None:
    # Small blocks, of which the last is kept: without a word the rest stays with the process.
    blocks = [bytearray(64 * 1024) for _ in range(2 * SPACE // (64 * 1024))]
    kept, full = blocks[-1], resident()
    del blocks[:]
    gc.collect()
    release_memory()
    assert len(kept) == 64 * 1024
    assert resident() < full - SPACE


def test_a_base_that_lacks_weights_or_holds_a_pickle_is_refused(folder: Path) -> None:
    file = folder / "model.safetensors"
    weights = load_file(file)
    lost = next(name for name in weights if "mlp.up_proj" in name)
    save_file({n: t for n, t in weights.items() if n != lost}, file, {"format": "pt"})
    with pytest.raises(ModelError, match="has no weights for"):
        anew(adapters, folder)
    file.unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="holds no model"):
        adapters.load_base(str(folder))
    (folder / "more").mkdir()
    save_file({}, folder / "more" / "other.safetensors")
    with pytest.raises(ModelError, match="Cannot load a base model"):
        anew(adapters, folder)


def test_a_folder_that_holds_another_model_by_now_is_loaded_again(folder: Path) -> None:
    loads = (adapters.load_base, causal_load.load_causal)
    before = [load(str(folder)) for load in loads]
    assert [load(str(folder)) for load in loads] == before
    file = folder / "model.safetensors"
    save_file({n: 2 * t for n, t in load_file(file).items()}, file, {"format": "pt"})
    for load, old in zip(loads, before, strict=True):
        new = load(str(folder))
        assert new is not old
        own, known = (dict(model.model.named_parameters()) for model in (new, old))
        assert all(torch.equal(own[name], 2 * known[name]) for name in own)
