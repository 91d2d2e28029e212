"""Products of packed weights: results as torch gives them, and a model that stays as it was."""

from typing import Any

import pytest
import torch

from choose.models.hardware import packed_products as products
from choose.models.hardware.packed_products import can_pack, packed_products


class Gated(torch.nn.Module):
    """A gated feed-forward layer under a linear one, as decoders have them."""

    device = torch.device("cpu")

    def __init__(self, dtype: torch.dtype, activation: Any = torch.nn.functional.silu) -> None:
        super().__init__()
        self.dtype, self.activation = dtype, activation
        self.gate_proj = torch.nn.Linear(24, 40, dtype=dtype)
        self.up_proj = torch.nn.Linear(24, 40, bias=False, dtype=dtype)
        self.down_proj = torch.nn.Linear(40, 24, dtype=dtype)

    def forward(self, x: torch.Tensor) -> Any:
        return self.down_proj(self.activation(self.gate_proj(x)) * self.up_proj(x))


def reads(model: Any, rows: int) -> torch.Tensor:
    x = torch.randn(1, rows, 24, generator=torch.Generator().manual_seed(rows)).to(model.dtype)
    with torch.inference_mode():
        found: torch.Tensor = model(x).float()
    return found


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("activation", [torch.nn.functional.silu, torch.nn.functional.gelu])
def test_results_are_those_of_the_plain_layers(dtype: torch.dtype, activation: Any) -> None:
    if not can_pack(dtype):
        pytest.skip("torch cannot pack here")
    torch.manual_seed(0)
    model = Gated(dtype, activation)
    for rows in (1, 3, 65):
        plain = reads(model, rows)
        with packed_products(model):
            replaced = [name for name, m in model.named_modules() if "forward" in m.__dict__]
            packed = reads(model, rows)
        tolerance = 1e-6 if dtype is torch.float32 else 2e-2
        assert (packed - plain).abs().max() <= tolerance * plain.abs().max()
        # A layer with another activation keeps its own formula over packed linear layers.
        assert ("" in replaced) is (activation is torch.nn.functional.silu)
        assert {"gate_proj", "up_proj", "down_proj"} <= set(replaced)
    assert all("forward" not in module.__dict__ for module in model.modules())


def test_exchanged_weights_are_packed_anew_and_errors_leave_nothing() -> None:
    model = Gated(torch.float32)
    with pytest.raises(RuntimeError), packed_products(model):
        model(torch.zeros(1, 2, 7))
    assert all("forward" not in module.__dict__ for module in model.modules())
    with packed_products(model):
        reads(model, 2)
    model.up_proj.weight = torch.nn.Parameter(2 * model.up_proj.weight.detach())
    with packed_products(model):
        packed = reads(model, 2)
    assert torch.allclose(packed, reads(model, 2), atol=1e-6)


def test_large_models_and_other_layers_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    class Own(torch.nn.Linear):
        pass

    model = Gated(torch.float32)
    model.up_proj = Own(24, 40)
    with packed_products(model):
        assert "forward" not in model.up_proj.__dict__
        assert "forward" not in model.__dict__
    monkeypatch.setattr(products, "MOST_BYTES", 100)
    large = Gated(torch.float32)
    with packed_products(large):
        assert all("forward" not in module.__dict__ for module in large.modules())
