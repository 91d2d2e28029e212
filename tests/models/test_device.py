"""Behaviour on an accelerator, with torch's functions replaced: no test machine has one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from choose.models.causal.loading import load_causal
from choose.models.causal.packed_attention import in_blocks
from choose.models.embeddings import load_encoder
from choose.models.hardware import compute_settings as runtime
from choose.models.lora.fused import forward_backward
from choose.models.lora.fused.forward_backward import LowerLayers
from support import tiny_models as tiny


@pytest.mark.parametrize(
    ("real", "emulated", "expected"),
    [
        (True, True, torch.bfloat16),
        (False, True, torch.float32),  # a T4
        (False, False, torch.float32),
    ],
)
def test_bfloat16_where_a_card_computes_it_itself(
    monkeypatch: pytest.MonkeyPatch, real: bool, emulated: bool, expected: torch.dtype
) -> None:
    def supported(including_emulation: bool = True) -> bool:
        return real or (including_emulation and emulated)

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    monkeypatch.setattr(runtime, "device", lambda: "cuda")
    runtime.dtype.cache_clear()
    try:
        assert runtime.dtype() is expected
    finally:
        runtime.dtype.cache_clear()


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "mps"])
def test_the_clock_stops_when_the_device_has_done_its_work(
    monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    order: list[str] = []

    class Decoder:
        def lower_forward(self, batch: object, first: int) -> torch.Tensor:
            order.append("give")
            return torch.zeros(3, 4)

    def clock() -> float:
        order.append("clock")
        return float(len(order))

    done = lambda *_: order.append("done")  # noqa: E731
    monkeypatch.setattr(torch.cuda, "synchronize", done)
    monkeypatch.setattr(torch.mps, "synchronize", done)
    monkeypatch.setattr(forward_backward, "perf_counter", clock)
    monkeypatch.setattr(forward_backward, "ragged_batch", lambda rows, device: rows)
    decoder: Any = Decoder()
    LowerLayers(decoder, 1, device).compute((1, 2, 3))
    assert order == ["done", "clock", "give", "done", "clock"]


def test_a_text_is_one_block_of_attention_on_an_accelerator() -> None:
    sees = np.tri(600, dtype=bool)
    here, there = (in_blocks(sees, 2, torch.zeros(1, device=kind)) for kind in ("cpu", "meta"))
    assert len(here) == 5
    [block] = there
    assert (block.end, tuple(block.bias.shape)) == (600, (1200, 600))


def test_a_processor_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "synchronize", lambda *_: pytest.fail("waited"))
    runtime.synchronise("cpu")


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
        assert cache is not None
        assert "cpu Tesla T4" in cache.made_by
