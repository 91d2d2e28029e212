"""A Llama-like decoder, packed for training adapters on it: what fits, and its layers in turn."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from choose.models.causality import is_causal
from choose.models.decoder_layer import Layer, Side
from choose.models.frozen import NORMS, PRODUCTS, Frozen
from choose.models.head_grid import Grid, Heads, grid
from choose.models.ragged import Ragged

if TYPE_CHECKING:
    import torch


class Decoder:
    """A base's layers, packed; built once a process and number type."""

    def __init__(self, model: Any, dtype: torch.dtype) -> None:
        import torch

        self.model, self.dtype = model, dtype
        self.layers = [_layer(i, layer, dtype) for i, layer in enumerate(model.layers)]
        self._norms = {
            name: torch.stack([layer.get_submodule(path).weight for layer in model.layers])
            for name, path in NORMS.items()
        }

    def above(self, first: int) -> Decoder:
        """Return the layers from one on, over the same matrices."""
        upper = copy.copy(self)
        upper.layers = [replace(layer, place=i) for i, layer in enumerate(self.layers[first:])]
        upper._norms = {name: norms[first:] for name, norms in self._norms.items()}
        return upper

    def norms(self, name: str) -> torch.Tensor | None:
        """Return the weights (layers, 1, inputs) of the norm before a product, if there is one."""
        return self._norms[name].detach()[:, None] if name in self._norms else None

    def shape(self, name: str) -> tuple[int, int]:
        """Return how wide a product's input and output are."""
        product = self.layers[0].products[name]
        return product.inputs, product.outputs

    def columns(self, name: str, path: str) -> slice:
        """Return the columns of a linear layer in its product."""
        start = 0
        for other in PRODUCTS[name]:
            size = self.model.layers[0].get_submodule(other).out_features
            if other == path:
                return slice(start, start + size)
            start += size
        raise KeyError(path)

    def grid(self, batch: Ragged) -> Grid:
        """Lay out the attention of a batch."""
        import torch

        places = torch.arange(max(b.longest for b in batch.blocks), device=batch.ids.device)
        with torch.no_grad():
            cosine, sine = self.model.rotary_emb(self.model.norm.weight, places[None])
        return grid(batch, self.layers[0].heads, cosine[0].float(), sine[0].float())

    def ahead(
        self, h: torch.Tensor, grid: Grid, sides: Sequence[Side]
    ) -> tuple[torch.Tensor, list[Any]]:
        """Return the stream (tokens, width) before the last norm, and what `back` needs.

        `h` is the float32 stream that enters the first of the layers, and is overwritten.
        """
        kept = []
        for layer in self.layers:
            h, saved = layer.ahead(h, grid, sides)
            kept.append(saved)
        return h, kept

    def below(self, batch: Ragged, first: int) -> torch.Tensor:
        """Return the stream (tokens, width) float32 that enters a layer, no adapter below it."""
        h: torch.Tensor = self.model.embed_tokens(batch.ids).float()
        if first:
            grid = self.grid(batch)
            for layer in self.layers[:first]:
                h, _ = layer.ahead(h, grid, ())
        return h

    def back(
        self, gradient: torch.Tensor, grid: Grid, sides: Sequence[Side], kept: list[Any]
    ) -> None:
        """Fill the adapters' gradients from that of the stream, which is overwritten."""
        for layer in reversed(self.layers):
            gradient = layer.back(gradient, grid, sides, kept.pop())


def fits(model: Any) -> bool:
    """Return whether a model is of the kind that `Decoder` computes."""
    config = model.config
    return (
        type(model).__name__ in ("LlamaModel", "MistralModel", "Qwen2Model")
        and getattr(config, "hidden_act", None) == "silu"
        and not getattr(config, "attention_dropout", 0.0)
        and is_causal(config)
        and not _slides(config)
    )


def _slides(config: Any) -> bool:
    kinds = getattr(config, "layer_types", None)
    if kinds is not None:
        return any(kind != "full_attention" for kind in kinds)
    return getattr(config, "sliding_window", None) is not None


def _layer(place: int, layer: Any, dtype: torch.dtype) -> Layer:
    attention = layer.self_attn
    width, queries = attention.head_dim, attention.q_proj.out_features
    heads = Heads(
        queries // width, attention.k_proj.out_features // width, width, attention.scaling
    )
    products = {}
    for name, paths in PRODUCTS.items():
        linears = [layer.get_submodule(path) for path in paths]
        norm = layer.get_submodule(NORMS[name]).weight if name in NORMS else None
        matrices = [m.weight if norm is None else m.weight * norm for m in linears]
        products[name] = Frozen(matrices, [m.bias for m in linears], dtype)
    return Layer(place, products, heads, layer.input_layernorm.variance_epsilon, dtype)
