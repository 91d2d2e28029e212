"""Frozen matrices laid out once for both directions of training, forward and backward."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


# The linear layers of a decoder's layer by the input they share.
PRODUCTS: Mapping[str, tuple[str, ...]] = {
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "out": ("self_attn.o_proj",),
    "rise": ("mlp.gate_proj", "mlp.up_proj"),
    "fall": ("mlp.down_proj",),
}


# The norm that a product's input comes from. Its weights are multiplied into the product's.
NORMS = {"qkv": "input_layernorm", "rise": "post_attention_layernorm"}


class Frozen:
    """Matrices that read the same input, stacked: ``x @ W.T + b`` and, backwards, ``g @ W``.

    On a CPU the library would bring a matrix into its kernels' layout at every product; for short
    texts that costs a fifth of it, and a frozen matrix can be brought there once.
    """

    def __init__(
        self,
        matrices: Sequence[torch.Tensor],
        biases: Sequence[torch.Tensor | None],
        dtype: torch.dtype,
    ) -> None:
        import torch

        with torch.no_grad():
            whole = torch.cat([matrix.detach() for matrix in matrices]).to(dtype)
            self.outputs, self.inputs = whole.shape
            self.packed = whole.device.type == "cpu" and packs(dtype)
            self._ahead, self._back = self._laid(whole), self._laid(whole.t())
            self._bias = None
            if any(bias is not None for bias in biases):
                parts = [
                    matrix.new_zeros(len(matrix)) if bias is None else bias.detach()
                    for matrix, bias in zip(matrices, biases, strict=True)
                ]
                self._bias = torch.cat(parts).to(dtype)

    def _laid(self, matrix: torch.Tensor) -> torch.Tensor:
        # Where nothing is packed the other direction is a view of the same memory.
        return _pack(matrix.contiguous()) if self.packed else matrix

    def ahead(self, x: torch.Tensor) -> torch.Tensor:
        """Return (n, outputs) for inputs (n, inputs)."""
        return self._times(x, self._ahead, self._bias)

    def back(self, gradient: torch.Tensor) -> torch.Tensor:
        """Return the inputs' gradient (n, inputs) for that of the outputs (n, outputs)."""
        return self._times(gradient, self._back, None)

    def _times(
        self, x: torch.Tensor, matrix: torch.Tensor, bias: torch.Tensor | None
    ) -> torch.Tensor:
        import torch

        if self.packed:
            return _packed_product(x, matrix, bias)
        return torch.nn.functional.linear(x, matrix, bias)


@cache
def packs(dtype: torch.dtype) -> bool:
    """Return whether this build of torch multiplies by packed matrices of that type, and rightly.

    The two operators are those that torch's own compiler emits, but no stable interface.
    """
    import torch

    matrix = torch.arange(-64.0, 64.0).reshape(16, 8).to(dtype) / 64
    rows, bias = matrix[:3].clone(), torch.arange(16.0).to(dtype)
    try:
        found = _packed_product(rows, _pack(matrix), bias)
    except (AttributeError, RuntimeError, NotImplementedError):
        return False
    return torch.allclose(found, torch.nn.functional.linear(rows, matrix, bias), atol=0.05)


def _pack(matrix: torch.Tensor) -> torch.Tensor:
    import torch

    packed: torch.Tensor = torch.ops.mkldnn._reorder_linear_weight(matrix)
    return packed


def _packed_product(
    x: torch.Tensor, packed: torch.Tensor, bias: torch.Tensor | None
) -> torch.Tensor:
    import torch

    product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], "")
    return product
