"""Adapters of the fused engine: a trial's LoRA matrices, and their part in a pass.

One trial's matrices are one flat vector, with PEFT's matrices as views of it.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

from choose.models.lora.fused.linear_layers import PRODUCTS, in_columns

if TYPE_CHECKING:
    import torch

    from choose.models.lora.fused.decoder import Decoder


# PEFT's name of a model's only adapter.
ADAPTER_NAME = "default"


@dataclass(frozen=True, slots=True)
class AdaptedLinear:
    """One linear in every adapted layer: A (layers, rank, inputs) and B (layers, outputs, rank).

    `ranks` and `columns` are its part of the product that it shares with other linears; B's outputs
    are in the order of these columns, in one dimension or several.
    """

    a: torch.Tensor
    b: torch.Tensor
    ranks: slice
    columns: slice
    scaling: float

    def outputs_of(self, product: LoraMatrices) -> torch.Tensor:
        """Return the part of a product's B that is this linear's, in the shape of its own."""
        own = product.b[:, self.ranks, self.columns].mT
        return own.view(self.b.shape)


@dataclass(frozen=True, slots=True)
class LoraMatrices:
    """The stacked LoRA matrices of one product in every adapted layer, or their gradients.

    `a` is (layers, ranks, inputs), multiplied by the norm before the product; `b` is (layers,
    ranks, outputs), multiplied by LoRA's scaling, and zero outside a linear's own columns.
    """

    a: torch.Tensor
    b: torch.Tensor

    def empty(self) -> LoraMatrices:
        """Return memory for the gradients."""
        return LoraMatrices(self.a.new_empty(self.a.shape), self.b.new_empty(self.b.shape))


class LayerAdapter(NamedTuple):
    """A product's A and B in one layer, and the mask of their inputs, if there is one."""

    a: torch.Tensor
    b: torch.Tensor
    mask: torch.Tensor | None


class _Factors(NamedTuple):
    """What the gradients of A and B in a layer are the products of."""

    layer: int
    inputs: torch.Tensor
    reduced: torch.Tensor
    to_reduced: torch.Tensor
    to_outputs: torch.Tensor


class AdaptedRun:
    """One trial's adapters in a pass: its tokens, its adapters by product and layer, and gradients.

    `dropout_masks` (layers, tokens, inputs) by product multiply the adapters' inputs; a product
    without a mask has no dropout.
    """

    def __init__(
        self,
        tokens: slice,
        matrices: Mapping[str, LoraMatrices],
        dropout_masks: Mapping[str, torch.Tensor],
    ) -> None:
        self.tokens = tokens
        self.gradients = {name: own.empty() for name, own in matrices.items()}
        self.adapters = {
            name: [
                LayerAdapter(a, b, None if masks is None else masks[layer])
                for layer, (a, b) in enumerate(zip(own.a.unbind(), own.b.unbind(), strict=True))
            ]
            for name, own in matrices.items()
            for masks in [dropout_masks.get(name)]
        }
        self._factors: dict[str, list[_Factors]] = {name: [] for name in matrices}

    def narrowed(self, wanted: torch.Tensor, start: int) -> AdaptedRun:
        """Return the run with its `wanted` tokens only, which stand from `start` on.

        It is for the products of the last layer that come after attention.
        """
        narrowed, own = copy.copy(self), wanted - self.tokens.start
        narrowed.tokens = slice(start, start + len(own))
        narrowed.adapters = {
            name: [*lower, last if last.mask is None else last._replace(mask=last.mask[own])]
            for name, (*lower, last) in self.adapters.items()
            if name != "qkv"
        }
        return narrowed

    def own(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the rows of the run's tokens; a run that is alone has all of them."""
        count = self.tokens.stop - self.tokens.start
        return rows if len(rows) == count else rows[self.tokens]

    def keep_factors(self, name: str, *factors: Any) -> None:
        """Keep a layer's inputs, ``x @ A.T``, its gradient and the outputs', after its index."""
        self._factors[name].append(_Factors(*factors))

    def fill_gradients(self) -> None:
        """Compute the gradients in all layers whose factors are kept, each product's as one.

        A batched product of thirty layers takes as long as six of one layer.
        """
        import torch

        for name, kept in self._factors.items():
            kept.reverse()
            # The last layer may have fewer tokens than the others.
            for _, some in groupby(kept, key=lambda factors: len(factors.inputs)):
                layers, inputs, reduced, to_reduced, to_outputs = zip(*some, strict=True)
                own, gradients = slice(layers[0], layers[-1] + 1), self.gradients[name]
                torch.bmm(torch.stack(to_reduced).mT, torch.stack(inputs), out=gradients.a[own])
                torch.bmm(torch.stack(reduced).mT, torch.stack(to_outputs), out=gradients.b[own])
            kept.clear()


class FlatAdapters:
    """The adapters of one PEFT model, laid out for the layers of a `Decoder`, the uppermost.

    `flat` is the one parameter that the optimiser updates.
    """

    def __init__(self, adapter: Any, decoder: Decoder) -> None:
        import torch

        self.decoder = decoder
        self._layers = list(adapter.get_base_model().base_model.layers)[-len(decoder.layers) :]
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
        for weight in self._weights:
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
                b = in_columns(b, path, self.decoder.layers[0].heads)
                scaling = float(module.scaling[ADAPTER_NAME])
                views[name].append(AdaptedLinear(a, b, rows, columns, scaling))
                ranks = rows.stop
        return views

    def _view(self, flat: torch.Tensor, start: int, like: torch.Tensor) -> tuple[torch.Tensor, int]:
        end = start + len(self._layers) * like.numel()
        return flat[start:end].view(len(self._layers), *like.shape), end

    @property
    def dropout(self) -> float:
        """Return the share of inputs that training drops."""
        paths = _adapted_paths(self._layers[0])
        module = self._layers[0].get_submodule(next(path for p in paths.values() for path in p))
        return float(getattr(module.lora_dropout[ADAPTER_NAME], "p", 0.0))

    @property
    def ranks(self) -> dict[str, int]:
        """Return the summed ranks of all adapters of each product."""
        return {name: linears[-1].ranks.stop for name, linears in self.linears.items()}

    def matrices(self) -> dict[str, LoraMatrices]:
        """Return the present matrices by product, in the decoder's number type."""
        import torch

        stacked = {}
        with torch.no_grad():
            for name, linears in self.linears.items():
                product = self._empty(name)
                norm = self.decoder.norms(name)
                for linear in linears:
                    product.a[:, linear.ranks] = linear.a if norm is None else linear.a * norm
                    linear.outputs_of(product).copy_(linear.b * linear.scaling)
                stacked[name] = product
        return stacked

    def _empty(self, name: str) -> LoraMatrices:
        inputs, outputs = self.decoder.shape(name)
        stack = len(self._layers), self.ranks[name]
        like = self.flat.detach()[:0].to(self.decoder.dtype)
        return LoraMatrices(like.new_empty(*stack, inputs), like.new_zeros(*stack, outputs))

    def set_gradients(self, parts: Sequence[Mapping[str, LoraMatrices]]) -> None:
        """Set the flat gradient to the sum over the parts of a batch."""
        import torch

        self.flat.grad = self._gradient
        with torch.no_grad():
            for name, linears in self._gradients.items():
                norm = self.decoder.norms(name)
                for own in linears:
                    first, *others = (part[name] for part in parts)
                    own.a.copy_(first.a[:, own.ranks])
                    own.b.copy_(own.outputs_of(first))
                    for other in others:
                        own.a.add_(other.a[:, own.ranks])
                        own.b.add_(own.outputs_of(other))
                    own.b.mul_(own.scaling)
                    if norm is not None:
                        own.a.mul_(norm)

    def detach_memory(self) -> None:
        """Give PEFT's matrices memory of their own again."""
        for weight in self._weights:
            weight.data = weight.data.clone()
            weight.grad = None


def first_adapted_layer(adapter: Any) -> int | None:
    """Return the first layer from which all layers adapt the same linears, or None.

    None also where an adapter is more than plain LoRA (DoRA, biases).
    """
    paths = [_adapted_paths(layer) for layer in adapter.get_base_model().base_model.layers]
    config = adapter.peft_config[ADAPTER_NAME]
    first = next((i for i, layer in enumerate(paths) if layer), None)
    if first is None or config.use_dora or config.lora_bias:
        return None
    return first if all(layer == paths[first] for layer in paths[first:]) else None


def _adapted_paths(layer: Any) -> dict[str, list[str]]:
    """Return the paths of a layer's adapted linears by product."""
    adapted = {
        name: [path for path in paths if hasattr(layer.get_submodule(path), "lora_A")]
        for name, paths in PRODUCTS.items()
    }
    return {name: paths for name, paths in adapted.items() if paths}
