"""The benchmark of LoRA: forms of the peer, saved measurements, and the adapted layers."""

from pathlib import Path
from typing import Any

import pytest

from choose.models.lora.classifier import untrained_model
from choose.models.lora.model import AdapterSpec, load_base
from lora import PEERS
from support import tiny_models as tiny

JOB = {"batch": 8, "rate": 1e-3, "plan_steps": 20}


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
