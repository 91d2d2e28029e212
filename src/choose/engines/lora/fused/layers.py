"""Layers of decoders and encoders, forward and backward, as functions that TorchScript compiles.

In a decoder norms come before products, and a gate multiplies what rises; in an encoder (BERT,
RoBERTa) each token attends to its whole text, and norms come after what they add. Dropout of an
encoder's base is off, that of adapters is not: with 300 rows of TREC-6 MiniLM gets as many of the
test rows right without it.

A pass is thousands of small kernels. Compiled, they wait neither for Python nor for the lock that
all its threads share, and two passes on two cores take half the time of one after the other. Where
nothing is compiled they are plain Python and compute the same. TorchScript cannot read annotations
that are strings, nor keyword `strict` of `zip`.
"""

from typing import NamedTuple

import torch

from choose.engines.lora.fused.attention import (
    AttentionHeads,
    AttentionLayout,
    attention_backward,
    attention_forward,
)
from choose.engines.lora.fused.linear_layers import PackedLinear, RunAdapters, multiply


class Layer(NamedTuple):
    """A layer; `products` are by the names of `PRODUCTS`.

    `norms` are the weights, of an encoder also the biases, of the norms before or after some of
    them.
    """

    products: dict[str, PackedLinear]
    norms: dict[str, list[torch.Tensor]]
    heads: AttentionHeads
    epsilon: float


# What backward needs of a layer. By product, unit rows and scale of the norm before it, or inputs,
# means and scales of the norm after it; inputs and ``x @ A.T`` of each run's adapters; what
# attention saves of each group; and gate, its other factor and activated gate, or what GELU gets. A
# plain tuple: to return a named one, TorchScript makes a class each time, a fifth of a millisecond.
SavedLayer = tuple[
    dict[str, list[torch.Tensor]],
    dict[str, list[tuple[torch.Tensor, torch.Tensor]]],
    list[list[torch.Tensor]],
    list[torch.Tensor],
]


def layers_forward(
    hidden: torch.Tensor,
    layers: list[Layer],
    layout: AttentionLayout,
    adapters: dict[str, list[RunAdapters]],
    keeps: str,
) -> tuple[torch.Tensor, list[torch.Tensor], list[SavedLayer]]:
    """Return the stream after some layers, and what backward needs of each.

    It `keeps` "all" of that, the "stream" before each layer only, or "nothing".
    """
    entered: list[torch.Tensor] = []
    saved: list[SavedLayer] = []
    for index, layer in enumerate(layers):
        if keeps == "stream":
            entered.append(hidden.clone())
        reads = keeps == "nothing"
        hidden, of_layer = _layer_forward(hidden, layer, index, layout, adapters, reads)
        if keeps == "all":
            saved.append(of_layer)
    return hidden, entered, saved


def layers_backward(
    gradient: torch.Tensor,
    layers: list[Layer],
    layout: AttentionLayout,
    adapters: dict[str, list[RunAdapters]],
    entered: list[torch.Tensor],
    saved: list[SavedLayer],
) -> None:
    """Fill the adapters' gradients from the stream's, which is overwritten."""
    for behind in range(len(layers)):
        index = len(layers) - 1 - behind
        if len(entered) > 0:
            _, kept = _layer_forward(entered[index], layers[index], index, layout, adapters)
        else:
            kept = saved[index]
        gradient = _layer_backward(gradient, layers[index], index, layout, adapters, kept)


def _layer_forward(
    hidden: torch.Tensor,
    layer: Layer,
    index: int,
    layout: AttentionLayout,
    adapters: dict[str, list[RunAdapters]],
    reads: bool = False,
) -> tuple[torch.Tensor, SavedLayer]:
    """Return the stream after a layer; `hidden` (tokens, width) float32 is overwritten.

    One that only `reads` may leave out what backward needs.
    """
    norms: dict[str, list[torch.Tensor]] = {}
    kept: dict[str, list[tuple[torch.Tensor, torch.Tensor]]] = {}
    products, encoder = layer.products, layer.heads.both_ways
    dtype = products["qkv"].to_outputs.dtype
    entering = hidden.to(dtype) if encoder else _rms_norm("qkv", hidden, layer, norms)
    projected = adapted_product("qkv", entering, products, adapters, index, kept)
    attended, of_attention = attention_forward(projected, layer.heads, layout)
    attended, hidden = _kept_rows(attended, index, layout), _kept_rows(hidden, index, layout)
    to_add = adapted_product("out", attended, products, adapters, index, kept)
    if encoder:
        hidden = _layer_norm("out", _added(hidden, to_add), layer, norms)
        of_activation: list[torch.Tensor] = []
        falling = hidden.to(dtype)
        if reads and len(adapters["rise"]) == 0:
            rise = products["rise"]
            falling = multiply(falling, rise.to_outputs, rise.bias, rise.packed, gelu=True)
        else:
            risen = adapted_product("rise", falling, products, adapters, index, kept)
            falling, of_activation = torch.nn.functional.gelu(risen), [risen]
        to_add = adapted_product("fall", falling, products, adapters, index, kept)
        hidden = _layer_norm("fall", _added(hidden, to_add), layer, norms)
    else:
        normed = _rms_norm("rise", hidden.add_(to_add), layer, norms)
        gate, up = adapted_product("rise", normed, products, adapters, index, kept).chunk(2, 1)
        activated = torch.nn.functional.silu(gate)
        of_activation = [gate, up, activated]
        hidden.add_(adapted_product("fall", activated * up, products, adapters, index, kept))
    return hidden, (norms, kept, of_attention, of_activation)


def _layer_backward(
    gradient: torch.Tensor,
    layer: Layer,
    index: int,
    layout: AttentionLayout,
    adapters: dict[str, list[RunAdapters]],
    saved: SavedLayer,
) -> torch.Tensor:
    """Fill the adapters' gradients; return the stream's gradient before the layer.

    `gradient` is overwritten. Nothing learns below the first layer, so its return value is not the
    gradient there.
    """
    norms, kept, of_attention, _ = saved
    gradient = _feed_forward_backward(gradient, layer, index, adapters, saved)
    products, dtype = layer.products, layer.products["qkv"].to_outputs.dtype
    to_attended = product_backward("out", gradient.to(dtype), products, adapters, index, kept)
    if index in layout.ends:
        tokens = [len(layout.collect) // layer.heads.query_heads, gradient.shape[1]]
        gradient = gradient.new_zeros(tokens).index_add_(0, layout.ends[index], gradient)
        tokens[1] = to_attended.shape[1]
        to_attended = to_attended.new_zeros(tokens).index_add_(0, layout.ends[index], to_attended)
    projected = attention_backward(to_attended, layer.heads, layout, of_attention)
    if index == 0:
        adapters_backward("qkv", projected, adapters, index, kept)
        return gradient
    to_entering = product_backward("qkv", projected, products, adapters, index, kept)
    if layer.heads.both_ways:
        gradient.add_(to_entering)
    else:
        _rms_norm_backward("qkv", gradient, to_entering, layer, norms)
    return gradient


def _feed_forward_backward(
    gradient: torch.Tensor,
    layer: Layer,
    index: int,
    adapters: dict[str, list[RunAdapters]],
    saved: SavedLayer,
) -> torch.Tensor:
    """Return the gradient of what attention adds to the stream; `gradient` is overwritten."""
    products, encoder = layer.products, layer.heads.both_ways
    norms, kept, _, of_activation = saved
    dtype = products["qkv"].to_outputs.dtype
    if encoder:
        gradient = _layer_norm_backward("fall", gradient, layer, norms)
    to_falling = product_backward("fall", gradient.to(dtype), products, adapters, index, kept)
    if encoder:
        to_risen = torch.ops.aten.gelu_backward(to_falling, of_activation[0])
    else:
        gate, up, activated = of_activation[0], of_activation[1], of_activation[2]
        to_risen = to_falling.new_empty([len(to_falling), 2 * to_falling.shape[1]])
        to_gate, to_up = to_risen.chunk(2, 1)
        torch.ops.aten.silu_backward(to_falling * up, gate, grad_input=to_gate)
        torch.mul(to_falling, activated, out=to_up)
    to_normed = product_backward("rise", to_risen, products, adapters, index, kept)
    if encoder:
        return _layer_norm_backward("out", gradient.add_(to_normed), layer, norms)
    _rms_norm_backward("rise", gradient, to_normed, layer, norms)
    return gradient


def _kept_rows(rows: torch.Tensor, index: int, layout: AttentionLayout) -> torch.Tensor:
    """Return the rows of the tokens that go on after a layer's attention."""
    return rows.index_select(0, layout.ends[index]) if index in layout.ends else rows


def _added(hidden: torch.Tensor, to_add: torch.Tensor) -> torch.Tensor:
    """Return a float32 sum in the memory of one of both that is not needed any more."""
    # In float32 the stream is what adapters have read, and kept.
    return to_add.add_(hidden) if to_add.dtype == hidden.dtype else hidden.add_(to_add)


def _rms_norm(
    name: str, hidden: torch.Tensor, layer: Layer, norms: dict[str, list[torch.Tensor]]
) -> torch.Tensor:
    """Divide rows by their root mean square, and multiply them by the norm's weights."""
    width = hidden.shape[1]
    size = torch.linalg.vector_norm(hidden, dim=1, keepdim=True)
    scale = size.square_().add_(layer.epsilon * width).rsqrt_().mul_(float(width) ** 0.5)
    unit = hidden * scale
    norms[name] = [unit, scale]
    return (unit * layer.norms[name][0]).to(layer.products[name].to_outputs.dtype)


def _rms_norm_backward(
    name: str,
    gradient: torch.Tensor,
    to_normed: torch.Tensor,
    layer: Layer,
    norms: dict[str, list[torch.Tensor]],
) -> None:
    """Add to the stream's gradient the part that comes through a norm."""
    unit, scale = norms[name][0], norms[name][1]
    to_normed = to_normed * layer.norms[name][0]
    share = torch.linalg.vecdot(to_normed, unit).unsqueeze(1).mul_(scale)
    gradient.addcmul_(to_normed, scale).addcmul_(unit, share, value=-1 / unit.shape[1])


def _layer_norm(
    name: str, rows: torch.Tensor, layer: Layer, norms: dict[str, list[torch.Tensor]]
) -> torch.Tensor:
    weight, bias = layer.norms[name][0], layer.norms[name][1]
    normed, mean, scale = torch.native_layer_norm(
        rows, [rows.shape[1]], weight, bias, layer.epsilon
    )
    norms[name] = [rows, mean, scale]
    return normed


def _layer_norm_backward(
    name: str, gradient: torch.Tensor, layer: Layer, norms: dict[str, list[torch.Tensor]]
) -> torch.Tensor:
    """Return the gradient of what the norm got."""
    (weight, bias), (rows, mean, scale) = layer.norms[name], norms[name]
    shape, wanted = [rows.shape[1]], [True, False, False]
    return torch.ops.aten.native_layer_norm_backward(
        gradient, rows, shape, mean, scale, weight, bias, wanted
    )[0]


def adapted_product(
    name: str,
    x: torch.Tensor,
    products: dict[str, PackedLinear],
    adapters: dict[str, list[RunAdapters]],
    index: int,
    kept: dict[str, list[tuple[torch.Tensor, torch.Tensor]]],
) -> torch.Tensor:
    """Multiply by the frozen matrices and add each run's adapters on its tokens."""
    frozen = products[name]
    outputs = multiply(x, frozen.to_outputs, frozen.bias, frozen.packed)
    of_runs: list[tuple[torch.Tensor, torch.Tensor]] = []
    for run in adapters[name]:
        inputs, mask = x[run.start : run.stop], run.mask
        if mask is not None:
            inputs = inputs * mask[index]
        reduced = inputs @ run.a[index].t()
        outputs[run.start : run.stop].addmm_(reduced, run.b[index].t())
        of_runs.append((inputs, reduced))
    kept[name] = of_runs
    return outputs


def product_backward(
    name: str,
    gradient: torch.Tensor,
    products: dict[str, PackedLinear],
    adapters: dict[str, list[RunAdapters]],
    index: int,
    kept: dict[str, list[tuple[torch.Tensor, torch.Tensor]]],
) -> torch.Tensor:
    """Return the gradient of a product's inputs, and fill those of its adapters."""
    frozen = products[name]
    to_inputs = multiply(gradient, frozen.to_inputs, None, frozen.packed)
    every = adapters_backward(name, gradient, adapters, index, kept)
    for run, to_reduced in zip(adapters[name], every):  # noqa: B905
        own, mask = to_inputs[run.start : run.stop], run.mask
        if mask is None:
            own.addmm_(to_reduced, run.a[index])
        else:
            own.addcmul_(to_reduced @ run.a[index], mask[index])
    return to_inputs


def adapters_backward(
    name: str,
    gradient: torch.Tensor,
    adapters: dict[str, list[RunAdapters]],
    index: int,
    kept: dict[str, list[tuple[torch.Tensor, torch.Tensor]]],
) -> list[torch.Tensor]:
    """Fill the runs' gradients of one product; return each run's gradient of ``x @ A.T``."""
    to_reduced: list[torch.Tensor] = []
    for run, (inputs, reduced) in zip(adapters[name], kept[name]):  # noqa: B905
        own = gradient[run.start : run.stop]
        towards = own @ run.b[index]
        torch.mm(own.t(), reduced, out=run.to_b[index])
        torch.mm(towards.t(), inputs, out=run.to_a[index])
        to_reduced.append(towards)
    return to_reduced
