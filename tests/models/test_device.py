"""Behaviour on an accelerator, with torch's functions replaced: no test machine has one."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils import backend_registration

from choose.models.causal.loading import load_causal
from choose.models.causal.packed_attention import in_blocks
from choose.models.embeddings import load_encoder
from choose.models.hardware import compute_settings as runtime
from support import tiny_models as tiny


@pytest.mark.parametrize(
    ("real", "emulated", "expected"),
    [
        (True, True, torch.bfloat16),
        (False, True, torch.float32),  # a T4
        (False, False, torch.float32),
    ],
)
def test_bfloat16_where_a_card_computes_it_itself(monkeypatch, real, emulated, expected):
    def supported(including_emulation: bool = True) -> bool:
        return real or (including_emulation and emulated)

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    monkeypatch.setattr(runtime, "device", lambda: "cuda")
    runtime.dtype.cache_clear()
    try:
        assert runtime.dtype() is expected
    finally:
        runtime.dtype.cache_clear()


def test_a_text_is_one_block_of_attention_on_an_accelerator() -> None:
    sees = np.tri(600, dtype=bool)
    here, there = (in_blocks(sees, 2, torch.zeros(1, device=kind)) for kind in ("cpu", "meta"))
    assert len(here) == 5
    [block] = there
    assert (block.end, tuple(block.bias.shape)) == (600, (1200, 600))


def test_a_processor_without_avx2_is_said_once(monkeypatch, capsys):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    monkeypatch.setattr(runtime.platform, "machine", lambda: "x86_64")
    runtime.device.cache_clear()
    assert [runtime.device() for _ in range(3)] == ["cpu"] * 3
    assert capsys.readouterr().err.count("no AVX2") == 1


def test_cache_keys_name_the_card(monkeypatch: pytest.MonkeyPatch) -> None:
    cards = {0: "Tesla T4", 1: "NVIDIA A100"}
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: cards[device.index])
    assert runtime.device_name(torch.device("cuda:0")) == "cuda:0 Tesla T4"
    assert runtime.device_name(torch.device("cuda:1")) == "cuda:1 NVIDIA A100"
    assert runtime.device_name(torch.device("cpu")) == "cpu"


def test_both_cache_keys_name_the_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("causal.loading", "embeddings"):
        monkeypatch.setattr(
            f"choose.models.{module}.device_name", lambda device: f"{device} Tesla T4"
        )
    caches = [
        load_encoder(str(tiny.encoder(tmp_path / "encoder"))).cache,
        load_causal(str(tiny.causal_lm(tmp_path / "lm"))).cache,
    ]
    for cache in caches:
        assert "cpu Tesla T4" in cache.made_by


# Of transformers' classes; the first is trained by the hand-written engine, the other by autograd.
SETTINGS: dict[str, dict[str, Any]] = {"Qwen2": {}, "Gemma2": {"head_dim": 8}}


@pytest.mark.slow
@pytest.mark.skipif(
    not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"),
    reason="this torch knows no devices that are written in Python",
)
@pytest.mark.parametrize("kind", ["Llama", *SETTINGS])
def test_a_card_gets_the_same_numbers_and_no_tensor_of_the_processor(kind, tmp_path):
    """Labels, answers and adapters on a pretended card, where mixing devices is an error."""
    from transformers import AutoTokenizer

    folder = tiny.causal_lm(tmp_path / "llama")
    if kind in SETTINGS:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        settings = {
            "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 2048,
            "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id,
        }  # fmt: skip
        folder = tiny.random_lm(tmp_path / kind, kind, settings | SETTINGS[kind], tokenizer)
    found = {}
    for device in ("cpu", "card"):
        file = tmp_path / f"{device}.npz"
        call = [sys.executable, "-m", "support.pretended_card", str(folder), str(file), device]
        paths = {"PYTHONPATH": os.pathsep.join(sys.path), "CHOOSE_DTYPE": "float32"}
        subprocess.run(call, check=True, env={**os.environ, **paths})
        found[device] = dict(np.load(file))
    assert found["card"].keys() == found["cpu"].keys()
    assert found["card"]["fast"].all()
    for name, values in found["cpu"].items():
        largest = np.abs(values).max()
        assert largest > 1e-4, name
        np.testing.assert_allclose(
            found["card"][name], values, rtol=0, atol=1e-5 * largest, err_msg=name
        )
