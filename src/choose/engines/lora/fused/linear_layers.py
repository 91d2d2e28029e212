"""Linear layers of the fused engine: frozen weights as they are multiplied, and adapters over them.

Frozen layers are stacked by shared input and laid out for both directions of training. One trial's
LoRA matrices are one flat vector, with PEFT's matrices as views of it.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import torch

from choose.engines.hardware.packed_products import can_pack, pack

if TYPE_CHECKING:
    from choose.engines.lora.fused.frozen_layers import PackedLayers


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


class Outputs(NamedTuple):
    """The places of a linear's outputs among those of its product, and what they are times."""

    places: torch.Tensor | slice
    factor: float


def in_order(linears: Sequence[Any]) -> list[Outputs]:
    """Return the outputs of linears one after another."""
    ends = accumulate((one.out_features for one in linears), initial=0)
    return [Outputs(slice(start, stop), 1.0) for start, stop in pairwise(ends)]


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
    def of(
        cls,
        linears: Sequence[Any],
        dtype: torch.dtype,
        trains: bool = True,
        outputs: Sequence[Outputs] = (),
    ) -> Self:
        """Stack linear layers with their outputs in these places, else in order."""
        with torch.no_grad():
            whole = torch.cat([one.weight for one in linears])
            biases = whole.new_zeros(len(whole))
            for one, of in zip(linears, outputs or in_order(linears), strict=True):
                whole[of.places] = one.weight * of.factor
                if one.bias is not None:
                    biases[of.places] = one.bias * of.factor
            whole, biased = whole.to(dtype), any(one.bias is not None for one in linears)
            bias = biases.to(dtype) if biased else None
            if not can_pack(dtype):
                return cls(whole, whole.t(), bias, packed=False)
            to_outputs = pack(whole)
            to_inputs = pack(whole.t().contiguous()) if trains else to_outputs
            return cls(to_outputs, to_inputs, bias, packed=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (n, outputs) for inputs (n, inputs)."""
        return multiply(x, self.to_outputs, self.bias, self.packed)

    def backward(self, gradient: torch.Tensor) -> torch.Tensor:
        """Return the inputs' gradient (n, inputs) from the outputs' (n, outputs)."""
        return multiply(gradient, self.to_inputs, None, self.packed)


def multiply(
    x: torch.Tensor,
    matrix: torch.Tensor,
    bias: torch.Tensor | None,
    packed: bool,
    gelu: bool = False,
) -> torch.Tensor:
    """Return ``x @ matrix.T + bias``, as `packed_product` does; TorchScript can compile this."""
    if packed:
        none: list[int | float | complex | None] = []
        activation = "gelu" if gelu else "none"
        return torch.ops.mkldnn._linear_pointwise(x, matrix, bias, activation, none, "none")
    product = torch.nn.functional.linear(x, matrix, bias)
    return torch.nn.functional.gelu(product) if gelu else product


# PEFT's name of a model's only adapter.
ADAPTER_NAME = "default"


class LoraMatrices(NamedTuple):
    """The LoRA matrices of one product in every layer, as its frozen matrix reads and writes.

    `a` is (adapted layers, ranks, inputs), with the ranks of one linear after the other; `b` is
    (adapted layers, outputs, ranks), zero where outputs and ranks are of different linears.
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

    Attributes:
        flat: the one parameter that the optimiser updates: PEFT's matrices are views of it, unless
            it is a `copy`.
        layers: the last layers, which have adapters.
    """

    def __init__(self, adapter: Any, decoder: "PackedLayers", copy: bool = False) -> None:
        self.decoder = decoder
        every = layers_of(adapter.get_base_model().base_model)
        self.layers = [layer for layer in every if _adapted_paths(layer)]
        self._paths = _adapted_paths(self.layers[0])
        self._weights = [
            weight
            for paths in self._paths.values()
            for weight in (
                *(_matrix(layer, path, "A") for layer in self.layers for path in paths),
                *(_matrix(layer, path, "B") for path in paths for layer in self.layers),
            )
        ]
        self.flat = torch.nn.Parameter(torch.cat([w.detach().flatten() for w in self._weights]))
        self._gradient = torch.zeros_like(self.flat.detach())
        self._views = self._stacked(self.flat.detach())
        self._gradients = self._stacked(self._gradient)
        self._outputs = {
            name: [self._scaled(path, decoder.outputs(name)[path]) for path in paths]
            for name, paths in self._paths.items()
        }
        start = 0
        for weight in () if copy else self._weights:
            weight.data = self.flat.data[start : start + weight.numel()].view(weight.shape)
            start += weight.numel()

    def _scaled(self, path: str, outputs: Outputs) -> Outputs:
        by = float(self.layers[0].get_submodule(path).scaling[ADAPTER_NAME])
        return outputs._replace(factor=by * outputs.factor)

    def _stacked(self, flat: torch.Tensor) -> dict[str, list[torch.Tensor]]:
        """Return views of a flat vector by product: A of all its linears, and B of each."""
        stacked, start, layers = {}, 0, len(self.layers)

        def view(*shape: int) -> torch.Tensor:
            nonlocal start
            start += math.prod(shape)
            return flat[start - math.prod(shape) : start].view(shape)

        for name, paths in self._paths.items():
            shapes = [_matrix(self.layers[0], path, "B").shape for path in paths]
            a = view(layers, sum(rank for _, rank in shapes), self.decoder.shape(name)[0])
            stacked[name] = [a, *(view(layers, *shape) for shape in shapes)]
        return stacked

    @property
    def dropout(self) -> float:
        module = self.layers[0].get_submodule(next(iter(self._paths.values()))[0])
        return float(getattr(module.lora_dropout[ADAPTER_NAME], "p", 0.0))

    @property
    def ranks(self) -> dict[str, int]:
        """Return the summed ranks of all adapters of each product."""
        return {name: a.shape[1] for name, (a, *_) in self._views.items()}

    def matrices(self) -> dict[str, LoraMatrices]:
        """Return the present matrices by product, in the decoder's number type."""
        dtype, found = self.decoder.dtype, {}
        for name, (a, *every) in self._views.items():
            b = torch.zeros(len(a), self.decoder.shape(name)[1], a.shape[1], dtype=dtype)
            blocks = zip(_blocks(b, every), every, self._outputs[name], strict=True)
            for block, one, (places, factor) in blocks:
                block[:, places] = (one * factor).to(dtype)
            found[name] = LoraMatrices(a.to(dtype), b)
        return found

    def set_gradients(self, parts: Sequence[Mapping[str, RunAdapters]]) -> None:
        """Set the flat gradient to the sum over the parts of a batch."""
        self.flat.grad = self._gradient
        with torch.no_grad():
            for name, (a, *every) in self._gradients.items():
                _add_up([part[name].to_a for part in parts], a)
                blocks = [_blocks(part[name].to_b, every) for part in parts]
                for n, (places, factor) in enumerate(self._outputs[name]):
                    _add_up([some[n][:, places] for some in blocks], every[n]).mul_(factor)

    def detach_memory(self) -> None:
        """Give PEFT's matrices memory of their own again."""
        for weight in self._weights:
            weight.data = weight.data.clone()
            weight.grad = None


def _matrix(layer: Any, path: str, kind: str) -> Any:
    return getattr(layer.get_submodule(path), f"lora_{kind}")[ADAPTER_NAME].weight


def _blocks(b: torch.Tensor, every: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """Return the columns of a product's B that are the ranks of each of its linears."""
    return torch.split(b, [one.shape[2] for one in every], 2)


def _add_up(parts: Sequence[torch.Tensor], total: torch.Tensor) -> torch.Tensor:
    """Fill a float32 tensor with the sum of parts, and return it."""
    total.copy_(parts[0])
    for part in parts[1:]:
        total.add_(part)
    return total


def _adapted_paths(layer: Any) -> dict[str, list[str]]:
    adapted = {
        name: [path for path in paths if hasattr(layer.get_submodule(path), "lora_A")]
        for name, paths in products_of(layer).items()
    }
    return {name: paths for name, paths in adapted.items() if paths}
