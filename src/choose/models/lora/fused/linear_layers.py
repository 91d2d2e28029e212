"""Frozen linear layers of the fused engine, as they are multiplied.

They are stacked by shared input and laid out for both directions of training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from choose.models.hardware.packed_products import can_pack, pack, packed_product

if TYPE_CHECKING:
    import torch

    from choose.models.lora.fused.attention import AttentionHeads


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
        return pack(matrix.contiguous()) if self.packed else matrix

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
            return packed_product(x, matrix, bias)
        return torch.nn.functional.linear(x, matrix, bias)


def packed_product_of(
    linears: Sequence[Any],
    dtype: torch.dtype,
    shares: bool,
    norm: Any = None,
    orders: Sequence[torch.Tensor | None] = (),
) -> PackedLinear:
    """Return the product of some linear layers, the weights of the norm before it in its matrix.

    `orders` has the order of each layer's outputs. On an accelerator the layers share the matrix.
    """
    if shares:
        return PackedLinear.shared(linears, dtype)
    matrices = [m.weight if norm is None else m.weight * norm for m in linears]
    biases = [m.bias for m in linears]
    for i, order in enumerate(orders):
        if order is not None:
            matrices[i] = matrices[i][order]
            biases[i] = biases[i] if biases[i] is None else biases[i][order]
    return PackedLinear(matrices, biases, dtype)


def column_order(path: str, outputs: int, heads: AttentionHeads) -> torch.Tensor | None:
    """Return the order of a linear layer's outputs in its product, None if it is the usual one."""
    import torch

    columns = in_columns(torch.arange(outputs)[None, :, None], path, heads)
    return None if columns.dim() == 3 else columns.flatten()


def in_columns(b: torch.Tensor, path: str, heads: AttentionHeads) -> torch.Tensor:
    """Return a view of B (layers, outputs, rank) in the order of a product's columns.

    Its dimensions between the first and the last are the outputs, several of them where the order
    is not the usual one.
    """
    if not heads.interleaved or path not in PRODUCTS["qkv"][:2]:
        return b
    layers, _, rank = b.shape
    return b.view(layers, -1, 2, heads.head_size // 2, rank).transpose(2, 3)
