"""Plans say whether a model fits before it is fetched: sizes from headers, memory injected."""

import json
import struct
from math import prod
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from choose.api.plan import plan_study
from choose.cli.app import app
from choose.engines.hardware import compute_settings
from choose.engines.weights.model_size import size_of_folder
from choose.report.terminal.plan_page import model_lines
from choose.run import model_fit
from choose.run.model_fit import needed_bytes
from choose.schema.plan import ModelFit, Planning

GB = 10**9
TOY = Path(__file__).parents[1] / "fixtures" / "toy.csv"

# Llama-3.1-8B.
EIGHT: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
}


def headers_only(folder: Path) -> Path:
    """A folder whose weights are told by a header, as a hub tells them; there are no numbers."""
    hidden, inner, words = 4096, 14336, 128256
    shapes = {"model.embed_tokens.weight": (words, hidden), "lm_head.weight": (words, hidden)}
    for layer in range(32):
        at = f"model.layers.{layer}"
        for name, rows in (("q_proj", 4096), ("k_proj", 1024), ("v_proj", 1024), ("o_proj", 4096)):
            shapes[f"{at}.self_attn.{name}.weight"] = (rows, hidden)
        shapes |= {f"{at}.mlp.{name}.weight": (inner, hidden) for name in ("gate_proj", "up_proj")}
        shapes[f"{at}.mlp.down_proj.weight"] = (hidden, inner)
        shapes[f"{at}.input_layernorm.weight"] = (hidden,)
    start, header = 0, {}
    for name, shape in shapes.items():
        end = start + 2 * prod(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [start, end]}
        start = end
    written = json.dumps(header).encode()
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(written)) + written)
    (folder / "config.json").write_text(json.dumps(EIGHT))
    return folder


@pytest.fixture
def eight(tmp_path: Path) -> Path:
    return headers_only(tmp_path / "eight")


def planned(folder: Path, monkeypatch: pytest.MonkeyPatch, free: float, **models: Any) -> Planning:
    monkeypatch.setattr(model_fit, "gpu_here", lambda: False)
    monkeypatch.setattr(model_fit, "free_machine_bytes", lambda: int(free * GB))
    settings = {
        "models": {"model": str(folder), "tune": str(folder), **models},
    }
    names = ("prompt", "lora")
    return plan_study(str(TOY), overrides=settings, strategies=names)


def test_what_does_not_fit_is_said_with_what_would(eight, monkeypatch):
    for name in ("base_dtype", "dtype"):
        monkeypatch.setattr(compute_settings, name, lambda: torch.float32)
    monkeypatch.setattr(compute_settings, "trains_in_bfloat16", lambda: False)
    plan = planned(eight, monkeypatch, 24)
    prompted, tuned = sorted(plan.models, key=lambda fit: fit.tuned)
    assert (prompted.candidates, tuned.candidates) == (("prompt",), ("lora",))
    assert prompted.parameters == pytest.approx(8.03 * GB, rel=0.01)
    assert prompted.needed == pytest.approx(33 * GB, rel=0.1), "float32 weights, and a pass"
    assert tuned.needed > 90 * GB, "float32, and its matrices in two layouts"
    assert prompted.fits is False
    said = " ".join(model_lines(plan.models))
    assert "It does not fit: about" in said
    assert "24 GB are free" in said


def test_memory_is_that_of_the_number_type_here(eight, monkeypatch):
    """A prompted model is held in what is fast; a CPU packs bases in bfloat16 where it can."""
    size = size_of_folder(eight)
    half = {"base_dtype": torch.float32, "dtype": torch.bfloat16}
    for name, kind in half.items():
        monkeypatch.setattr(compute_settings, name, lambda kind=kind: kind)
    monkeypatch.setattr(compute_settings, "trains_in_bfloat16", lambda: True)
    prompted, tuned = sorted(planned(eight, monkeypatch, 24).models, key=lambda fit: fit.tuned)
    assert prompted.fits, "16 GB, and a pass"
    assert tuned.needed == pytest.approx(needed_bytes(size, True, itemsize=4, card=False, packed=2))
    assert 32 * GB + 4 * size.linear < tuned.needed < 70 * GB
    monkeypatch.setattr(model_fit, "gpu_here", lambda: True)
    monkeypatch.setattr(model_fit, "free_here", lambda card: 24 * GB)
    monkeypatch.setattr(compute_settings, "dtype", lambda: torch.float32)  # a T4
    settings = {"models": {"model": str(eight)}}
    [old] = plan_study(str(TOY), overrides=settings, strategies=("prompt",)).models
    assert old.fits is False


def test_a_card_holds_a_base_once(eight: Path) -> None:
    """The figure that the issue asks for: 40 GB for LoRA in bfloat16."""
    assert needed_bytes(size_of_folder(eight), True, itemsize=2, card=True) < 40 * GB


def test_small_models_that_fit_are_not_mentioned() -> None:
    small = ModelFit(model="m", candidates=("prompt",), parameters=10**8, needed=1, free=2)
    assert list(model_lines([small])) == []
    unknown = ModelFit(model="org/m", candidates=("prompt",), why_not="The hub does not say.")
    assert list(model_lines([unknown])) == ["org/m (prompt): The hub does not say."]


def test_the_record_has_it(eight: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_fit, "gpu_here", lambda: False)
    call = ["plan", str(TOY), "-s", "prompt", "--model", str(eight), "--json"]
    done = CliRunner().invoke(app, call)
    assert done.exit_code == 0, done.output
    [fit] = json.loads(done.stdout)["models"]
    assert fit["parameters"] > 8 * GB
    assert isinstance(fit["fits"], bool)
