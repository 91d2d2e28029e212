"""The benchmark on GPUs, in small on a CPU: every side runs, and misses are told."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

import gpu


@pytest.mark.slow
def test_all_sides_run_in_small(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main(["--tiny", "--json", "--folder", str(tmp_path)]) == 0
    found = json.loads(capsys.readouterr().out)["tiny"]
    ours = {"labels 6", "labels 77", "texts", "peak", "lora 12", "lora 24"}
    assert found["choose"].keys() == ours
    assert found["peers"].keys() == ours - {"peak"}
    if find_spec("bitsandbytes") is not None:
        assert found["choose 4bit"].keys() == {"lora 12", "lora 24"}
    assert gpu.ratios(found).keys() == ours - {"peak"}
    assert 0 < found["choose"]["peak"]["share"] < 1.5
    told = "\n".join(gpu.report({"tiny": found}))
    assert "x the peer" in told
    assert "tokens/s" in told


def test_misses_are_told() -> None:
    fast = {"labels 77": {"seconds": 1.0}, "lora 128": {"step": 1.0, "gb": 41.0}}
    slow = {"labels 77": {"seconds": 4.0}, "lora 128": {"step": 2.0}}
    sides = {"choose": {**fast, "peak": {"share": 0.3}}, "peers": slow,
             "choose 4bit": {"failed": "no card"}}  # fmt: skip
    assert list(gpu.misses({"Llama-3.1-8B": sides})) == [
        "Llama-3.1-8B, choose 4bit: no card",
        "Llama-3.1-8B, labels 77: 4.00x of 5x",
        "Llama-3.1-8B: 30% of the card's peak, 40% asked for",
        "Llama-3.1-8B, bfloat16: 41.0 GB of 40 GB",
    ]


def test_what_cannot_be_measured_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for call, says in ((["--models", "GPT-5"], "no shape 'GPT-5'"), ([], "finds no CUDA card")):
        if not call and gpu._cuda():
            continue
        with pytest.raises(SystemExit) as left:
            gpu.main(call)
        assert left.value.code == 2
        assert says in capsys.readouterr().err


def test_shapes_are_the_published_ones() -> None:
    from choose.models.weights.model_size import size_from_config

    for name, billions in (("SmolLM2-1.7B", 1.71), ("Qwen2.5-7B", 7.62), ("Llama-3.1-8B", 8.03)):
        size = size_from_config({"hidden_act": "silu", **gpu.SHAPES[name]})
        assert size is not None
        assert size.parameters / 1e9 == pytest.approx(billions, rel=0.01)
