"""The benchmark on GPUs, in small on a CPU: every side runs, and every target is told."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

import gpu


@pytest.mark.slow
def test_all_sides_run_in_small(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    call = ["--tiny", "--json", "--folder", str(tmp_path), "--sides"]
    assert gpu.main([*call, "harness,vllm"]) == 0
    assert gpu.read_results(tmp_path / "tiny.results").keys() == {"harness", "vllm"}
    # In this process, which has loaded the libraries.
    for side in ("choose", "generate", "trainer", "4bit"):
        if find_spec(gpu.PACKAGES.get(side, "torch")) is not None:
            file = tmp_path / "tiny.results" / f"{side}.jsonl"
            gpu.one_side(tmp_path / "tiny", side, gpu.SMALL, file)
    capsys.readouterr()
    monkeypatch.setattr(gpu, "find_spec", lambda _: None)
    assert gpu.main([*call, "vllm"]) == 0, "what was measured before is kept"
    found = json.loads(capsys.readouterr().out)["tiny"]
    monkeypatch.undo()
    assert found["vllm"] == {"absent": {"failed": "vllm is not installed"}}
    lora = {"lora 12", "lora 24"}
    ours = {"labels 6", "labels 77", "texts", "texts shared", "peak", *lora}
    assert found["choose"].keys() == ours
    assert found["harness"].keys() == {"labels 6", "labels 77"}
    assert found["generate"].keys() == {"texts", "texts shared"}
    assert found["trainer"].keys() == lora
    if find_spec("bitsandbytes") is not None:
        assert found["4bit"].keys() == lora
    assert not [one for side in found.values() for name, one in side.items()
                if "failed" in one and name != "absent"]  # fmt: skip
    assert all(one["tokens_a_second"] > 0 for one in found["choose"].values())
    assert gpu.ratios(found).keys() == ours - {"peak"}
    assert 0 < found["choose"]["peak"]["share"] < 1.5
    told = "\n".join(gpu.report({"tiny": found}))
    assert "x generate" in told
    assert "tokens/s" in told


def test_a_measurement_that_fails_takes_no_other_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sides(*_: Any) -> Iterator[gpu.Measure]:
        yield "lora 128", lambda: {"step": 1.0}
        yield "lora 600", lambda: 1 / 0  # type: ignore[arg-type, return-value]
        yield "lora 900", lambda: {"step": 2.0}

    monkeypatch.setattr(gpu, "_trained", sides)
    (tmp_path / "m.results").mkdir()
    gpu.one_side(tmp_path, "trainer", gpu.SMALL, tmp_path / "m.results" / "trainer.jsonl")
    assert gpu.read_results(tmp_path / "m.results")["trainer"] == {
        "lora 128": {"step": 1.0},
        "lora 600": {"failed": "ZeroDivisionError: division by zero"},
        "lora 900": {"step": 2.0},
    }


def test_a_peer_for_which_no_batch_fits_is_not_outrun() -> None:
    """Its time was infinite, so that choose was infinitely many times faster: target met."""

    tries: list[int] = []

    def work(size: int) -> None:
        tries.append(size)
        if size > most:
            raise torch.OutOfMemoryError

    most, sizes = 8, [8, 32]
    found = gpu._at_best_batch(work, sizes, 100)
    assert found["way"] == "batches of 8"
    assert (sizes, tries) == ([8], [8, 32, 8]), "the best is tried twice, as choose is"
    most = 0
    with pytest.raises(MemoryError, match="no batch of 8 fits"):
        gpu._at_best_batch(work, sizes, 100)


def test_weights_are_written_by_a_process_that_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The benchmark's own process would keep a card's memory from the sides."""
    calls: list[list[str]] = []

    def run(call: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        calls.append(call)
        return subprocess.CompletedProcess(call, 0)

    monkeypatch.setattr(subprocess, "run", run)
    gpu.measure(tmp_path / "tiny", tmp_path / "r", [], tiny=True)
    [call] = calls
    assert gpu.main(call[2:]) == 0
    assert (tmp_path / "tiny" / "tokenizer.json").is_file()
    gpu.measure(tmp_path / "tiny", tmp_path / "r", [], tiny=True)
    assert calls == [call], "they stay"


@pytest.mark.parametrize("stops", [True, False])
def test_a_side_that_ends_keeps_what_it_measured(
    stops: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "tokenizer.json").write_text("{}")

    def run(call: list[str], stderr: Any, **_: Any) -> subprocess.CompletedProcess[str]:
        gpu._add(Path(call[call.index("--results") + 1]), "labels 6", {"seconds": 1.0})
        if stops:
            raise subprocess.TimeoutExpired(call, gpu.LIMIT)
        stderr.write("CUDA error:\nan illegal access")
        stderr.flush()
        return subprocess.CompletedProcess(call, -9)

    monkeypatch.setattr(subprocess, "run", run)
    gpu.measure(tmp_path / "m", tmp_path / "r", ["harness"], tiny=False)
    assert gpu.read_results(tmp_path / "r")["harness"] == {
        "labels 6": {"seconds": 1.0},
        "the rest": {
            "failed": "stopped after 1200 s: "
            if stops
            else "exit status -9, see harness.log: CUDA error: an illegal access"
        },
    }


def test_every_target_is_told() -> None:
    """Those of the issue, each met, missed or not measured."""
    ours = {
        "labels 77": {"seconds": 1.0},
        "peak": {"share": 0.3, "tflops": 700.0},
        "lora 128": {"step": 1.0, "gb": 30.0, "reserved_gb": 41.0},
        "lora 600": {"step": 1.0, "gb": 35.0, "reserved_gb": 39.0},
    }
    trainer = {"lora 128": {"step": 2.0, "gb": 29.0}, "lora 600": {"step": 1.2, "gb": 35.0}}
    four = {name: {"step": 1.0, "reserved_gb": 15.0} for name in ("lora 128", "lora 600")}
    sides = {"choose": ours, "harness": {"labels 77": {"seconds": 4.0}}, "trainer": trainer,
             "4bit": four, "vllm": {"absent": {"failed": "vllm is not installed"}}}  # fmt: skip
    told = [line for line in gpu.report({"Llama-3.1-8B": sides}) if "Llama-3.1-8B" in line]
    assert told[1:] == [
        "  MISSED       Llama-3.1-8B, labels 77: times faster: 4.00x (at least 5.00x)",
        "  not measured Llama-3.1-8B, texts: times faster: - (at least 3.00x)",
        "  met          Llama-3.1-8B, lora 128: times faster: 2.00x (at least 1.30x)",
        "  MISSED       Llama-3.1-8B, lora 600: times faster: 1.20x (at least 1.30x)",
        "  MISSED       Llama-3.1-8B: share of the card's peak: 30% (at least 40%)",
        "  MISSED       Llama-3.1-8B, lora 128: GB, Trainer's: 30.0 (at most 29.0)",
        "  met          Llama-3.1-8B, lora 600: GB, Trainer's: 35.0 (at most 35.0)",
        "  MISSED       Llama-3.1-8B, LoRA, bfloat16: GB of the card: 41.0 (at most 40.0)",
        "  met          Llama-3.1-8B, LoRA, 4 bits: GB of the card: 15.0 (at most 16.0)",
    ]
    small = [one.what for one in gpu.targets({"SmolLM2-1.7B": sides})]
    assert not any("of the card:" in what for what in small)


def test_what_cannot_be_measured_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for call, says in (
        (["--models", "GPT-5"], "no model 'GPT-5'"),
        (["--sides", "hope"], "no side 'hope'"),
        ([], "finds no CUDA card"),
    ):
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
