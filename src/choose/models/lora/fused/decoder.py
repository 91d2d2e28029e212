"""Llama-like decoder layers over packed frozen weights, forward and backward by hand.

Only adapters learn, so backward needs no gradient of a frozen matrix and skips most of what
autograd would save, cast and call. In float32 the gradients are PEFT's (tested).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from choose.models.lora.batching import RaggedBatch
from choose.models.lora.fused.attention import (
    AttentionHeads,
    AttentionLayout,
    attention_backward,
    attention_forward,
    attention_layout,
)
from choose.models.lora.fused.linear_layers import (
    NORMS,
    PRODUCTS,
    AdaptedRun,
    PackedLinear,
    column_order,
    packed_product_of,
)

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class DecoderLayer:
    """A decoder layer; `products` are by the names of `PRODUCTS`.

    `norms` are the weights of the norms before some of them, where they are not in the product's.
    """

    index: int
    products: Mapping[str, PackedLinear]
    norms: Mapping[str, torch.Tensor]
    heads: AttentionHeads
    epsilon: float
    dtype: torch.dtype

    def forward(
        self,
        hidden: torch.Tensor,
        layout: AttentionLayout,
        runs: Sequence[AdaptedRun],
        wanted: Sequence[torch.Tensor] = (),
    ) -> tuple[torch.Tensor, dict[str, Any]]:
        """Return the stream after the layer; `hidden` (tokens, width) float32 is overwritten.

        In a last layer `wanted` are the tokens of each run whose stream is read: all that comes
        after attention is computed for these only.
        """
        import torch

        saved: dict[str, Any] = {}
        projected = self._product("qkv", self._rms_norm("qkv", hidden, saved), runs, saved)
        attended, saved["attention"] = attention_forward(projected, self.heads, layout)
        saved["wanted"] = None
        if wanted:
            tokens = torch.cat(list(wanted))
            saved["wanted"] = tokens, len(hidden)
            attended, hidden = attended.index_select(0, tokens), hidden.index_select(0, tokens)
            starts = accumulate((len(some) for some in wanted), initial=0)
            each = zip(runs, wanted, starts, strict=False)  # the last start is the end
            runs = [run.narrowed(own, start) for run, own, start in each]
        hidden.add_(self._product("out", attended, runs, saved))
        normed = self._rms_norm("rise", hidden, saved)
        gate, up = self._product("rise", normed, runs, saved).chunk(2, 1)
        activated = torch.nn.functional.silu(gate)
        saved["gate"] = gate, up, activated
        hidden.add_(self._product("fall", activated * up, runs, saved))
        return hidden, saved

    def backward(
        self,
        gradient: torch.Tensor,
        layout: AttentionLayout,
        runs: Sequence[AdaptedRun],
        saved: dict[str, Any],
    ) -> torch.Tensor:
        """Fill the adapters' gradients; return the stream's gradient before the layer.

        `gradient` is overwritten. Nothing learns below the first layer, so its return value is
        not the gradient there.
        """
        to_gated = self._product_backward("fall", gradient.to(self.dtype), runs, saved)
        to_gate_up = _gate_backward(to_gated, saved["gate"])
        to_normed = self._product_backward("rise", to_gate_up, runs, saved)
        self._norm_backward("rise", gradient, to_normed, saved)
        to_attended = self._product_backward("out", gradient.to(self.dtype), runs, saved)
        if saved["wanted"] is not None:
            tokens, count = saved["wanted"]
            to_attended, gradient = (
                some.new_zeros(count, some.shape[1]).index_add_(0, tokens, some)
                for some in (to_attended, gradient)
            )
        projected = attention_backward(to_attended, self.heads, layout, saved["attention"])
        if self.index == 0:
            self._adapters_backward("qkv", projected, saved)
        else:
            to_normed = self._product_backward("qkv", projected, runs, saved)
            self._norm_backward("qkv", gradient, to_normed, saved)
        return gradient

    def _rms_norm(self, name: str, hidden: torch.Tensor, saved: dict[str, Any]) -> torch.Tensor:
        """Divide rows by their root mean square; the norm's weights may be in the product's."""
        import torch

        size = torch.linalg.vector_norm(hidden, dim=1, keepdim=True)
        width = hidden.shape[1]
        scale = size.square_().add_(self.epsilon * width).rsqrt_().mul_(width**0.5)
        unit = hidden * scale
        saved[f"norm of {name}"] = unit, scale
        weighed = unit * self.norms[name] if name in self.norms else unit
        normed: torch.Tensor = weighed.to(self.dtype)
        return normed

    def _norm_backward(
        self, name: str, gradient: torch.Tensor, to_normed: torch.Tensor, saved: dict[str, Any]
    ) -> None:
        """Add to the stream's gradient the part that comes through a norm."""
        import torch

        unit, scale = saved[f"norm of {name}"]
        to_normed = to_normed.float()
        if name in self.norms:
            to_normed = to_normed * self.norms[name]
        share = torch.linalg.vecdot(to_normed, unit)[:, None].mul_(scale)
        gradient.addcmul_(to_normed, scale).addcmul_(unit, share, value=-1 / unit.shape[1])

    def _product(
        self, name: str, x: torch.Tensor, runs: Sequence[AdaptedRun], saved: dict[str, Any]
    ) -> torch.Tensor:
        """Multiply by the frozen matrices and add each run's adapters on its tokens."""
        outputs = self.products[name].forward(x)
        saved[name] = []
        for run in runs:
            if name in run.matrices:
                inputs = x[run.tokens]
                if name in run.dropout_masks:
                    inputs = inputs * run.dropout_masks[name][self.index]
                reduced = inputs @ run.matrices[name].a[self.index].t()
                outputs[run.tokens].addmm_(reduced, run.matrices[name].b[self.index])
                saved[name].append((run, inputs, reduced))
        return outputs

    def _product_backward(
        self, name: str, gradient: torch.Tensor, runs: Sequence[AdaptedRun], saved: dict[str, Any]
    ) -> torch.Tensor:
        to_inputs = self.products[name].backward(gradient)
        for run, to_reduced in self._adapters_backward(name, gradient, saved):
            a, own = run.matrices[name].a[self.index], to_inputs[run.tokens]
            if name in run.dropout_masks:
                own.addcmul_(to_reduced @ a, run.dropout_masks[name][self.index])
            else:
                own.addmm_(to_reduced, a)
        return to_inputs

    def _adapters_backward(
        self, name: str, gradient: torch.Tensor, saved: dict[str, Any]
    ) -> list[tuple[AdaptedRun, torch.Tensor]]:
        """Fill the runs' gradients of one product; return each run's gradient of ``x @ A.T``."""
        import torch

        to_reduced = []
        for run, inputs, reduced in saved[name]:
            own = gradient[run.tokens]
            towards = own @ run.matrices[name].b[self.index].t()
            torch.mm(towards.t(), inputs, out=run.gradients[name].a[self.index])
            torch.mm(reduced.t(), own, out=run.gradients[name].b[self.index])
            to_reduced.append((run, towards))
        return to_reduced


def _gate_backward(gradient: torch.Tensor, saved: Any) -> torch.Tensor:
    import torch

    gate, up, activated = saved
    to_both = gradient.new_empty(len(gradient), 2 * gradient.shape[1])
    to_gate, to_up = to_both.chunk(2, 1)
    torch.ops.aten.silu_backward.grad_input(gradient * up, gate, grad_input=to_gate)
    torch.mul(gradient, activated, out=to_up)
    return to_both


class Decoder:
    """A base's layers, packed; built once a process and number type.

    `vocabulary` is the product that turns the last states into logits, where the base writes. On an
    accelerator the base `shares` the packed matrices; a CPU packs them in a layout of its own.
    """

    def __init__(
        self, model: Any, dtype: torch.dtype, vocabulary: Any = None, shares: bool | None = None
    ) -> None:
        import torch

        self.model, self.dtype = model, dtype
        if shares is None:
            shares = model.device.type != "cpu" and model.dtype is dtype
        packed = partial(packed_product_of, dtype=dtype, shares=shares)
        self.vocabulary = vocabulary and packed([vocabulary])
        self.layers = [
            _packed_layer(i, layer, dtype, shares) for i, layer in enumerate(model.layers)
        ]
        self._norms = {
            name: torch.stack([layer.get_submodule(path).weight for layer in model.layers])
            for name, path in NORMS.items()
            if not shares
        }

    def upper(self, first: int) -> Decoder:
        """Return the layers from `first` on, over the same matrices."""
        upper = copy.copy(self)
        upper.layers = [replace(layer, index=i) for i, layer in enumerate(self.layers[first:])]
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

    def order(self, path: str) -> torch.Tensor | None:
        """Return which output of a linear layer stands in each of its columns, if not in turn."""
        linear = self.model.layers[0].get_submodule(path)
        return column_order(path, linear.out_features, self.layers[0].heads)

    def layout(self, batch: RaggedBatch) -> AttentionLayout:
        """Lay out the attention of a batch."""
        import torch

        positions = torch.arange(batch.longest, device=batch.ids.device)
        with torch.no_grad():
            # In float32, whatever number type the base has.
            cosine, sine = self.model.rotary_emb(self.model.norm.weight.float(), positions[None])
        heads = self.layers[0].heads
        return attention_layout(batch, heads, cosine[0].float(), sine[0].float())

    def forward(
        self,
        hidden: torch.Tensor,
        layout: AttentionLayout,
        runs: Sequence[AdaptedRun],
        recompute: bool = False,
        wanted: Sequence[torch.Tensor] = (),
    ) -> tuple[torch.Tensor, list[Any]]:
        """Return the stream (tokens, width) before the last norm, and what `backward` needs.

        `hidden` is the float32 stream that enters the first of the layers, and is overwritten. With
        `recompute` only this is kept of each layer, and `backward` computes the rest again. With
        `wanted`, the tokens of each run that are read, the stream holds these only, run by run.
        """
        saved: list[Any] = []
        for layer in self.layers:
            of_last = wanted if layer is self.layers[-1] else ()
            if recompute:
                saved.append((hidden.clone(), of_last))
            hidden, of_layer = layer.forward(hidden, layout, runs, of_last)
            if not recompute:
                saved.append(of_layer)
        return hidden, saved

    def lower_forward(self, batch: RaggedBatch, first: int) -> torch.Tensor:
        """Return the stream (tokens, width) float32 that enters layer `first`, without adapters."""
        hidden: torch.Tensor = self.model.embed_tokens(batch.ids).float()
        if first:
            layout = self.layout(batch)
            for layer in self.layers[:first]:
                hidden, _ = layer.forward(hidden, layout, ())
        return hidden

    def backward(
        self,
        gradient: torch.Tensor,
        layout: AttentionLayout,
        runs: Sequence[AdaptedRun],
        saved: list[Any],
    ) -> None:
        """Fill the adapters' gradients from the stream's, which is overwritten."""
        for layer in reversed(self.layers):
            kept = saved.pop()
            if isinstance(kept, tuple):
                hidden, wanted = kept
                _, kept = layer.forward(hidden, layout, runs, wanted)
            gradient = layer.backward(gradient, layout, runs, kept)


def _packed_layer(index: int, layer: Any, dtype: torch.dtype, shares: bool) -> DecoderLayer:
    attention = layer.self_attn
    size, queries = attention.head_dim, attention.q_proj.out_features
    heads = AttentionHeads(
        queries // size,
        attention.k_proj.out_features // size,
        size,
        attention.scaling,
        # Interleaved, one complex product rotates all; a shared matrix stays as the base has it.
        interleaved=not shares,
    )
    norms = {name: layer.get_submodule(path).weight for name, path in NORMS.items()}
    products = {
        name: packed_product_of(
            [layer.get_submodule(path) for path in paths],
            dtype,
            shares,
            norms.get(name),
            [column_order(path, layer.get_submodule(path).out_features, heads) for path in paths],
        )
        for name, paths in PRODUCTS.items()
    }
    apart = {name: norm.detach().float() for name, norm in norms.items() if shares}
    epsilon = layer.input_layernorm.variance_epsilon
    return DecoderLayer(index, products, apart, heads, epsilon, dtype)
