"""The benchmark of LoRA: forms of the peer, saved measurements, and the adapted layers."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

import lora
from choose.models.lora.classifier import untrained_model
from choose.models.lora.model import AdapterSpec, load_base
from lora import PEERS, Processes
from support import tiny_models as tiny

JOB = {"batch": 8, "rate": 1e-3, "plan_steps": 20}


def options(**changed: Any) -> Namespace:
    """What the command line gives, in float32 unless changed."""
    usual = {"threads": 1, "keep": None, "data": "", "upper": 1.0, "dtype": "float32"}
    return Namespace(**{**usual, "encoder": False, **changed})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "strategy"),
    [("fp32", "random"), ("fp32 grouped", "group_by_length"), ("bf16", "group_by_length")],
)
def test_forms_of_the_peer(form: str, strategy: str, tmp_path: Path) -> None:
    import lora_peer

    arguments = lora_peer._arguments({**JOB, **PEERS[form]}, 0, 3, str(tmp_path))
    assert arguments.train_sampling_strategy == strategy
    assert arguments.bf16 is (form == "bf16")


def test_targets_are_those_of_lengths_grouped_and_lower_in_float32() -> None:
    ratios = {("one", "fp32"): 0.5, ("one", "fp32 grouped"): 2.5}
    settings = {"rank": 16, "batch": 8, "plan_steps": 9, "rate": 1e-3, "upper": 1.0}
    settings |= {"dtype": "bfloat16", "base": "SmolLM2-135M"}
    assert lora._slow(ratios, settings) == ["one trial against fp32 grouped: 2.50x of 3x"]
    assert lora._slow({("grid", "fp32 grouped"): 4.6, ("grid", "bf16"): 3.4}, settings) == [
        "grid trial against bf16: 3.40x of 3.5x"
    ]
    settings["dtype"] = "float32"
    assert lora._slow(ratios, settings) == []
    assert lora._slow({("grid", "fp32 grouped"): 2.4}, settings) == [
        "grid trial against fp32 grouped: 2.40x of 2.5x"
    ]
    seconds = {kind: [0.3] for kind in ("fp32", "fp32 grouped", "one", "grid")}
    choice = Namespace(rounds=1, threads=1)
    told = "\n".join(lora._report(choice, settings, seconds, ratios, {}, []))
    assert "against Trainer, fp32: 0.50x; nothing asked" in told
    assert "against Trainer, fp32, lengths grouped: 2.50x; 2x asked" in told


def test_an_encoder_has_targets_of_its_own_in_bfloat16(
    ran: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lora, "weights_digest", lambda spec: spec)
    some = Processes(options(encoder=True), tmp_path)
    assert lora.timed(some, 2, 8).keys() == {"fp32", "fp32 grouped", "one", "grid"}
    assert ran == ["peer", "peer", "choose", "choose"] * 2
    assert some.settings["targets_of_peer"] == ["query", "value"]
    slow = {("one", "fp32 grouped"): 2.4, ("one", "bf16"): 1.7}
    assert lora._slow(slow, some.settings) == []
    assert len(lora._slow(slow, {**some.settings, "dtype": "bfloat16"})) == 1


def test_the_roofline_is_a_share_of_the_step(tmp_path: Path) -> None:
    import lora_choose

    folder = str(tiny.causal_lm(tmp_path / "model"))
    job = {
        **{"model": folder, "rank": 4, "dropout": 0.1, "upper": 1.0, "max_tokens": 32, **JOB},
        **{"texts": ["one two", "three"] * 8, "targets": [0, 1] * 8, "labels": ["a", "b"]},
        **{"seeds": [0], "steps": 2, "roofline": 1},
    }
    found = lora_choose.main(job)
    assert found["tokens"] > 8
    assert 0 < found["products"] < found["step"]
    assert found["memory"] > 0
    assert found["gflops"] > 0


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []

    def run(self: Processes, side: str, **_: Any) -> dict[str, Any]:
        found.append(side)
        return {"step_seconds": 1.0}

    monkeypatch.setattr(Processes, "_run", run)
    monkeypatch.setattr(lora, "resolve", lambda spec: spec)
    monkeypatch.setattr(lora, "rows_of", lambda data: {})
    return found


def test_a_measurement_is_kept_for_the_same_way_of_measuring_only(
    ran: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(**changed: Any) -> list[str]:
        ran.clear()
        choice = options(**{"keep": tmp_path / "kept.json", "dtype": "bfloat16", **changed})
        some = Processes(choice, tmp_path)
        for side in ("choose", "peer"):
            some.run("one", side, 4, [0])
        return list(ran)

    both, usual = ["choose", "peer"], lora.sources
    assert ask() == both
    assert ask() == []
    assert ask(threads=2) == both
    assert ask(dtype="float32") == ["choose"]
    for name, value in {"machine": "another", "version": "99"}.items():
        with monkeypatch.context() as change:
            change.setattr(lora, name, lambda _, value=value: value)
            assert ask() == both
    monkeypatch.setattr(lora, "sources", lambda side: usual(side) + ["new"] * (side == "choose"))
    assert ask() == ["choose"]
    assert ask() == []


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_our_side_computes_in_the_number_type_of_the_option(
    dtype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, str]] = []

    def run(command: list[Any], env: dict[str, str], **_: Any) -> Namespace:
        seen.append((Path(command[1]).name, env["CHOOSE_DTYPE"]))
        return Namespace(returncode=0, stdout=json.dumps({"step_seconds": 1.0}))

    monkeypatch.setattr(lora, "resolve", lambda spec: spec)
    monkeypatch.setattr(lora, "rows_of", lambda data: {})
    monkeypatch.setattr(lora.subprocess, "run", run)
    seconds = lora.timed(Processes(options(dtype=dtype), tmp_path), 1, 8)
    assert seen[-1] == ("lora_choose.py", dtype)
    assert ("bf16" in seconds) is (dtype == "bfloat16")


@pytest.mark.parametrize("kind", ["encoder", "causal_lm"])
def test_the_naive_loop_adapts_what_we_adapt(kind: str, tmp_path: Path) -> None:
    from naive_trial import Tuning

    folder = str(getattr(tiny, kind)(tmp_path / "model"))
    theirs = Tuning({"base": folder, "order": ["a", "b"]}).model
    ours = untrained_model(load_base(folder), AdapterSpec(16, "attention", 0.05), 2, "tiny").adapter

    def adapted(model: Any) -> set[str]:
        names = (name for name, _ in model.named_modules() if name.endswith(".lora_A"))
        return {".".join(name.split(".")[-3:]) for name in names}

    assert adapted(theirs) == adapted(ours) != set()
