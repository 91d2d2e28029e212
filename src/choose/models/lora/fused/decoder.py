"""A layer of a Llama-like decoder over packed frozen weights, forward and backward by hand.

Nothing but adapters learns, so backward needs no gradient of any frozen matrix, and most of what
autograd would keep, cast and call is left out. In float32 the numbers are PEFT's (tested).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from choose.models.lora.fused.adapters import Pair
from choose.models.lora.fused.attention import Grid, Heads, Ragged, attend, attend_back, grid
from choose.models.lora.fused.linear import NORMS, PRODUCTS, Frozen
from choose.models.lora.model import is_causal

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Side:
    """One trial's adapters in a pass: its tokens, its matrices by product, and their gradients.

    `keep` (layers, tokens, inputs) by product multiplies what the adapters see; without it they
    see everything.
    """

    tokens: slice
    pairs: Mapping[str, Pair]
    gradients: Mapping[str, Pair]
    keep: Mapping[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Layer:
    """A decoder's layer; `products` are by the names of `PRODUCTS`."""

    place: int
    products: Mapping[str, Frozen]
    heads: Heads
    epsilon: float
    dtype: torch.dtype

    def ahead(
        self, h: torch.Tensor, grid: Grid, sides: Sequence[Side]
    ) -> tuple[torch.Tensor, dict[str, Any]]:
        """Return the stream after the layer; `h` (tokens, width) float32 is overwritten."""
        import torch

        kept: dict[str, Any] = {}
        projected = self._times("qkv", self._normed("first", h, kept), sides, kept)
        read, kept["attention"] = attend(projected, self.heads, grid)
        h.add_(self._times("out", read, sides, kept))
        gate, up = self._times("rise", self._normed("second", h, kept), sides, kept).chunk(2, 1)
        opened = torch.nn.functional.silu(gate)
        kept["gate"] = gate, up, opened
        h.add_(self._times("fall", opened * up, sides, kept))
        return h, kept

    def back(
        self, gradient: torch.Tensor, grid: Grid, sides: Sequence[Side], kept: dict[str, Any]
    ) -> torch.Tensor:
        """Fill the adapters' gradients; return the stream's gradient before the layer.

        `gradient` is overwritten. Before the lowest layer nothing learns, so what is returned
        there is of no use.
        """
        to_gated = self._back("fall", gradient.to(self.dtype), sides, kept)
        towards = self._back("rise", _gate_back(to_gated, kept["gate"]), sides, kept)
        _norm_back(gradient, towards, kept["second"])
        to_read = self._back("out", gradient.to(self.dtype), sides, kept)
        projected = attend_back(to_read, self.heads, grid, kept["attention"])
        if self.place == 0:
            self._sides_back("qkv", projected, sides, kept)
        else:
            _norm_back(gradient, self._back("qkv", projected, sides, kept), kept["first"])
        return gradient

    def _normed(self, name: str, h: torch.Tensor, kept: dict[str, Any]) -> torch.Tensor:
        """Divide rows by their root mean square."""
        import torch

        size = torch.linalg.vector_norm(h, dim=1, keepdim=True)
        scale = size.square_().add_(self.epsilon * h.shape[1]).rsqrt_().mul_(h.shape[1] ** 0.5)
        unit = h * scale
        kept[name] = unit, scale
        normed: torch.Tensor = unit.to(self.dtype)
        return normed

    def _times(
        self, name: str, x: torch.Tensor, sides: Sequence[Side], kept: dict[str, Any]
    ) -> torch.Tensor:
        found = self.products[name].ahead(x)
        kept[name] = seen = []
        for side in sides:
            if name in side.pairs:
                part = x[side.tokens]
                if name in side.keep:
                    part = part * side.keep[name][self.place]
                between = part @ side.pairs[name].a[self.place].t()
                found[side.tokens].addmm_(between, side.pairs[name].b[self.place])
                seen.append((side, part, between))
        return found

    def _back(
        self, name: str, gradient: torch.Tensor, sides: Sequence[Side], kept: dict[str, Any]
    ) -> torch.Tensor:
        found = self.products[name].back(gradient)
        for side, towards in self._sides_back(name, gradient, sides, kept):
            extra = towards @ side.pairs[name].a[self.place]
            if name in side.keep:
                extra.mul_(side.keep[name][self.place])
            found[side.tokens].add_(extra)
        return found

    def _sides_back(
        self, name: str, gradient: torch.Tensor, sides: Sequence[Side], kept: dict[str, Any]
    ) -> list[tuple[Side, torch.Tensor]]:
        import torch

        found = []
        for side, part, between in kept[name]:
            own = gradient[side.tokens]
            towards = own @ side.pairs[name].b[self.place].t()
            torch.mm(towards.t(), part, out=side.gradients[name].a[self.place])
            torch.mm(between.t(), own, out=side.gradients[name].b[self.place])
            found.append((side, towards))
        return found


def _norm_back(gradient: torch.Tensor, towards: torch.Tensor, saved: Any) -> None:
    """Add to the stream's gradient what comes back through a norm."""
    unit, scale = saved
    towards = towards.float()
    share = (towards * unit).mean(1, keepdim=True).mul_(scale)
    gradient.addcmul_(towards, scale).addcmul_(unit, share, value=-1)


def _gate_back(gradient: torch.Tensor, saved: Any) -> torch.Tensor:
    import torch

    gate, up, opened = saved
    found = gradient.new_empty(len(gradient), 2 * gradient.shape[1])
    to_gate, to_up = found.chunk(2, 1)
    torch.ops.aten.silu_backward.grad_input(gradient * up, gate, grad_input=to_gate)
    torch.mul(gradient, opened, out=to_up)
    return found


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
