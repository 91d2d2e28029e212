"""Frozen linear layers, stacked by shared input and laid out for both directions of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

# The linear layers of a decoder layer by the input they share: one matrix product each.
PRODUCTS: Mapping[str, tuple[str, ...]] = {
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "out": ("self_attn.o_proj",),
    "rise": ("mlp.gate_proj", "mlp.up_proj"),
    "fall": ("mlp.down_proj",),
}

# The norm before a product. Its weights are multiplied into the product's.
NORMS = {"qkv": "input_layernorm", "rise": "post_attention_layernorm"}


class PackedLinear:
    """Stacked frozen matrices: ``x @ W.T + b`` forward and ``g @ W`` backward.

    On a CPU, torch would convert a matrix to its kernels' layout in every product, a fifth of the
    time for short texts. A frozen matrix is converted once.
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
            self.dtype = dtype
            self.packed = whole.device.type == "cpu" and can_pack(dtype)
            self._forward, self._backward = self._layout(whole), self._layout(whole.t())
            self._bias = None
            if any(bias is not None for bias in biases):
                parts = [
                    matrix.new_zeros(len(matrix)) if bias is None else bias.detach()
                    for matrix, bias in zip(matrices, biases, strict=True)
                ]
                self._bias = torch.cat(parts).to(dtype)

    @classmethod
    def shared(cls, linears: Sequence[Any], dtype: torch.dtype) -> PackedLinear:
        """Return the product of some layers, which from then on hold views of its matrix.

        A large base is then held once in memory, not twice.
        """
        product = cls([one.weight for one in linears], [one.bias for one in linears], dtype)
        start = 0
        for one in linears:
            stop = start + len(one.weight)
            one.weight.data = product._forward[start:stop]
            start = stop
        return product

    def _layout(self, matrix: torch.Tensor) -> torch.Tensor:
        # Without packing, both directions are views of the same memory.
        return _pack(matrix.contiguous()) if self.packed else matrix

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (n, outputs) for inputs (n, inputs)."""
        return self._multiply(x, self._forward, self._bias)

    def backward(self, gradient: torch.Tensor) -> torch.Tensor:
        """Return the inputs' gradient (n, inputs) from the outputs' (n, outputs)."""
        return self._multiply(gradient, self._backward, None)

    def _multiply(
        self, x: torch.Tensor, matrix: torch.Tensor, bias: torch.Tensor | None
    ) -> torch.Tensor:
        import torch

        if self.packed:
            return _packed_product(x, matrix, bias)
        return torch.nn.functional.linear(x, matrix, bias)


@cache
def can_pack(dtype: torch.dtype) -> bool:
    """Return whether this build of torch multiplies packed matrices of that type correctly.

    The two operators are the ones that torch's own compiler emits; they are no stable interface.
    """
    import torch

    matrix = torch.arange(-64.0, 64.0).reshape(16, 8).to(dtype) / 64
    rows, bias = matrix[:3].clone(), torch.arange(16.0).to(dtype)
    try:
        product = _packed_product(rows, _pack(matrix), bias)
    except (AttributeError, RuntimeError, NotImplementedError):
        return False
    return torch.allclose(product, torch.nn.functional.linear(rows, matrix, bias), atol=0.05)


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
