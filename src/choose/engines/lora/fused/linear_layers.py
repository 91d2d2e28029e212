"""Linear layers of the fused engine: frozen weights as they are multiplied, and adapters over them.

Frozen layers are stacked by shared input and laid out for both directions of training. One trial's
LoRA matrices are one flat vector, with PEFT's matrices as views of it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import torch

from choose.engines.hardware.packed_products import can_pack, pack

if TYPE_CHECKING:
    from choose.engines.lora.fused.packed_layers import PackedLayers


# The linear layers of a decoder layer by the input they share: one matrix product each.
PRODUCTS: Mapping[str, tuple[str, ...]] = {
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "out": ("self_attn.o_proj",),
    "rise": ("mlp.gate_proj", "mlp.up_proj"),
    "fall": ("mlp.down_proj",),
}

# Those of an encoder layer as BERT and RoBERTa have it.
ENCODER_PRODUCTS: Mapping[str, tuple[str, ...]] = {
    "qkv": ("attention.self.query", "attention.self.key", "attention.self.value"),
    "out": ("attention.output.dense",),
    "rise": ("intermediate.dense",),
    "fall": ("output.dense",),
}


def layers_of(model: Any) -> list[Any]:
    return list(model.encoder.layer if hasattr(model, "encoder") else model.layers)


def products_of(layer: Any) -> Mapping[str, tuple[str, ...]]:
    return ENCODER_PRODUCTS if hasattr(layer, "attention") else PRODUCTS


class PackedLinear(NamedTuple):
    """Stacked frozen matrices: ``x @ W.T + b`` forward and ``g @ W`` backward.

    On a CPU, torch would convert a matrix to its kernels' layout in every product, a fifth of the
    time for short texts. A frozen matrix is converted once, if it is `packed`, for each direction;
    else both are views of the same memory.
    """

    to_outputs: torch.Tensor
    to_inputs: torch.Tensor
    bias: torch.Tensor | None
    packed: bool

    @classmethod
    def of(cls, linears: Sequence[Any], dtype: torch.dtype, trains: bool = True) -> Self:
        with torch.no_grad():
            whole = torch.cat([one.weight.detach() for one in linears]).to(dtype)
            bias = None
            if any(one.bias is not None for one in linears):
                parts = [
                    one.weight.new_zeros(len(one.weight)) if one.bias is None else one.bias.detach()
                    for one in linears
                ]
                bias = torch.cat(parts).to(dtype)
            if not can_pack(dtype):
                return cls(whole, whole.t(), bias, packed=False)
            to_outputs = pack(whole)
            to_inputs = pack(whole.t().contiguous()) if trains else to_outputs
            return cls(to_outputs, to_inputs, bias, packed=True)

    @property
    def dtype(self) -> torch.dtype:
        return self.to_outputs.dtype

    @property
    def inputs(self) -> int:
        return self.to_outputs.shape[1]

    @property
    def outputs(self) -> int:
        return self.to_outputs.shape[0]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (n, outputs) for inputs (n, inputs)."""
        return multiply(x, self.to_outputs, self.bias, self.packed)

    def backward(self, gradient: torch.Tensor) -> torch.Tensor:
        """Return the inputs' gradient (n, inputs) from the outputs' (n, outputs)."""
        return multiply(gradient, self.to_inputs, None, self.packed)


def multiply(
    x: torch.Tensor, matrix: torch.Tensor, bias: torch.Tensor | None, packed: bool
) -> torch.Tensor:
    """Return ``x @ matrix.T + bias``, as `packed_product` does; TorchScript can compile this."""
    if packed:
        none: list[int | float | complex | None] = []
        return torch.ops.mkldnn._linear_pointwise(x, matrix, bias, "none", none, "")
    return torch.nn.functional.linear(x, matrix, bias)


# PEFT's name of a model's only adapter.
ADAPTER_NAME = "default"


@dataclass(frozen=True, slots=True)
class AdaptedLinear:
    """One linear in every adapted layer: A (layers, rank, inputs) and B (layers, outputs, rank).

    `ranks` and `columns` are its part of the product that it shares with other linears.
    """

    a: torch.Tensor
    b: torch.Tensor
    ranks: slice
    columns: slice
    scaling: float


class LoraMatrices(NamedTuple):
    """The stacked LoRA matrices of one product in every adapted layer.

    `a` is (layers, ranks, inputs); `b` is (layers, ranks, outputs), multiplied by LoRA's scaling,
    and zero outside a linear's own columns.
    """

    a: torch.Tensor
    b: torch.Tensor


class RunAdapters(NamedTuple):
    """The adapters of one run and product in a pass: `LoraMatrices`, and their gradients to fill.

    The run's tokens are those from `start` to `stop`. `mask` (layers, tokens, inputs) multiplies
    the adapters' inputs, where they have dropout.
    """

    start: int
    stop: int
    a: torch.Tensor
    b: torch.Tensor
    to_a: torch.Tensor
    to_b: torch.Tensor
    mask: torch.Tensor | None


class FlatAdapters:
    """The adapters of one PEFT model, laid out for the layers of its base.

    `flat` is the one parameter that the optimiser updates: PEFT's matrices are views of it, unless
    it is a `copy`.
    """

    def __init__(self, adapter: Any, decoder: "PackedLayers", copy: bool = False) -> None:
        self.decoder = decoder
        self._layers = layers_of(adapter.get_base_model().base_model)
        paths = _adapted_paths(self._layers[0])
        self._weights = [
            getattr(layer.get_submodule(path), kind)[ADAPTER_NAME].weight
            for product in paths.values()
            for path in product
            for kind in ("lora_A", "lora_B")
            for layer in self._layers
        ]
        self.flat = torch.nn.Parameter(torch.cat([w.detach().flatten() for w in self._weights]))
        self._gradient = torch.zeros_like(self.flat.detach())
        self.linears = self._views(paths, self.flat.detach())
        self._gradients = self._views(paths, self._gradient)
        start = 0
        for weight in () if copy else self._weights:
            weight.data = self.flat.data[start : start + weight.numel()].view(weight.shape)
            start += weight.numel()

    def _views(
        self, paths: Mapping[str, Sequence[str]], flat: torch.Tensor
    ) -> dict[str, list[AdaptedLinear]]:
        """Return views of a flat vector, in the order in which it was filled."""
        views: dict[str, list[AdaptedLinear]] = {}
        start = 0
        for name, product in paths.items():
            ranks = 0
            views[name] = []
            for path in product:
                module = self._layers[0].get_submodule(path)
                a, start = self._view(flat, start, module.lora_A[ADAPTER_NAME].weight)
                b, start = self._view(flat, start, module.lora_B[ADAPTER_NAME].weight)
                rows = slice(ranks, ranks + a.shape[1])
                columns = self.decoder.columns(name, path)
                scaling = float(module.scaling[ADAPTER_NAME])
                views[name].append(AdaptedLinear(a, b, rows, columns, scaling))
                ranks = rows.stop
        return views

    def _view(self, flat: torch.Tensor, start: int, like: torch.Tensor) -> tuple[torch.Tensor, int]:
        end = start + len(self._layers) * like.numel()
        return flat[start:end].view(len(self._layers), *like.shape), end

    @property
    def dropout(self) -> float:
        paths = _adapted_paths(self._layers[0])
        module = self._layers[0].get_submodule(next(path for p in paths.values() for path in p))
        return float(getattr(module.lora_dropout[ADAPTER_NAME], "p", 0.0))

    @property
    def ranks(self) -> dict[str, int]:
        """Return the summed ranks of all adapters of each product."""
        return {name: linears[-1].ranks.stop for name, linears in self.linears.items()}

    def matrices(self) -> dict[str, LoraMatrices]:
        """Return the present matrices by product, in the decoder's number type."""
        stacked, like = {}, self.flat.detach()[:0].to(self.decoder.dtype)
        with torch.no_grad():
            for name, linears in self.linears.items():
                inputs, outputs = self.decoder.shape(name)
                stack = len(self._layers), self.ranks[name]
                product = LoraMatrices(
                    like.new_empty(*stack, inputs), like.new_zeros(*stack, outputs)
                )
                for linear in linears:
                    product.a[:, linear.ranks] = linear.a
                    product.b[:, linear.ranks, linear.columns] = linear.b.mT * linear.scaling
                stacked[name] = product
        return stacked

    def set_gradients(self, parts: Sequence[Mapping[str, RunAdapters]]) -> None:
        """Set the flat gradient to the sum over the parts of a batch."""
        self.flat.grad = self._gradient
        with torch.no_grad():
            for name, linears in self._gradients.items():
                for own in linears:
                    own.a.copy_(_sum(part[name].to_a[:, own.ranks] for part in parts))
                    b = _sum(part[name].to_b[:, own.ranks, own.columns] for part in parts).mT
                    own.b.copy_(b * own.scaling)

    def detach_memory(self) -> None:
        """Give PEFT's matrices memory of their own again."""
        for weight in self._weights:
            weight.data = weight.data.clone()
            weight.grad = None


def _sum(parts: Iterable[torch.Tensor]) -> torch.Tensor:
    """Return the sum in float32."""
    first, *others = (part.float() for part in parts)
    for other in others:
        first = first + other
    return first


def _adapted_paths(layer: Any) -> dict[str, list[str]]:
    """Return the paths of a layer's adapted linears by product."""
    adapted = {
        name: [path for path in paths if hasattr(layer.get_submodule(path), "lora_A")]
        for name, paths in products_of(layer).items()
    }
    return {name: paths for name, paths in adapted.items() if paths}
