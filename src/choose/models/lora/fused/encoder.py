"""Encoder layers as BERT and RoBERTa have them, over packed frozen weights, forward and backward.

Each token attends to its whole text, and norms come after what they add. Dropout of the base is
off, that of adapters is not: with 300 rows of TREC-6 MiniLM gets as many of the test rows right
without it. The functions are compiled as those of `layers`.
"""

from typing import Any, NamedTuple

import torch

from choose.models.hardware.unpadded_encoder import plain_linears
from choose.models.lora.batching import RaggedBatch
from choose.models.lora.fused.attention import (
    AttentionHeads,
    AttentionLayout,
    attention_backward,
    attention_forward,
    attention_layout,
)
from choose.models.lora.fused.decoder import FLOAT32_BYTES, PackedLayers
from choose.models.lora.fused.layers import (
    PassAdapters,
    adapted_product,
    adapters_backward,
    product_backward,
    scattered,
)
from choose.models.lora.fused.linear_layers import ENCODER_PRODUCTS, PackedLinear, layers_of

# The norm after a product.
NORMS_AFTER = {"out": "attention.output.LayerNorm", "fall": "output.LayerNorm"}


class Norm(NamedTuple):
    """A layer norm's weights."""

    weight: torch.Tensor
    bias: torch.Tensor
    epsilon: float


class EncoderLayer(NamedTuple):
    """An encoder layer; `products` are by the names of `ENCODER_PRODUCTS`."""

    products: dict[str, PackedLinear]
    norms: dict[str, Norm]
    heads: AttentionHeads


# What backward needs of a norm: its input, and the mean and scale of each row.
SavedNorm = tuple[torch.Tensor, torch.Tensor, torch.Tensor]

# What backward needs of a layer: of norms, adapters and attention, and what GELU gets. A plain
# tuple, as in `layers`.
SavedEncoderLayer = tuple[
    dict[str, SavedNorm],
    dict[str, list[tuple[torch.Tensor, torch.Tensor]]],
    list[list[torch.Tensor]],
    torch.Tensor,
]


def encoder_forward(
    hidden: torch.Tensor,
    layers: list[EncoderLayer],
    layout: AttentionLayout,
    adapters: PassAdapters,
    recompute: bool,
) -> tuple[torch.Tensor, list[torch.Tensor], list[SavedEncoderLayer]]:
    """Return the stream after some layers, and what backward needs of each.

    With `recompute` that is the stream before it only.
    """
    entered: list[torch.Tensor] = []
    saved: list[SavedEncoderLayer] = []
    for index, layer in enumerate(layers):
        if recompute:
            entered.append(hidden)
        last = index == len(layers) - 1
        hidden, of_layer = _layer_forward(hidden, layer, index, layout, adapters, last)
        if not recompute:
            saved.append(of_layer)
    return hidden, entered, saved


def encoder_backward(
    gradient: torch.Tensor,
    layers: list[EncoderLayer],
    layout: AttentionLayout,
    adapters: PassAdapters,
    entered: list[torch.Tensor],
    saved: list[SavedEncoderLayer],
) -> None:
    """Fill the adapters' gradients from the stream's."""
    for behind in range(len(layers)):
        index, last = len(layers) - 1 - behind, behind == 0
        if len(entered) > 0:
            _, kept = _layer_forward(entered[index], layers[index], index, layout, adapters, last)
        else:
            kept = saved[index]
        gradient = _layer_backward(gradient, layers[index], index, layout, adapters, last, kept)


def _layer_forward(
    hidden: torch.Tensor,
    layer: EncoderLayer,
    index: int,
    layout: AttentionLayout,
    adapters: PassAdapters,
    last: bool,
) -> tuple[torch.Tensor, SavedEncoderLayer]:
    """Return the stream (tokens, width) float32 after a layer."""
    kept: dict[str, list[tuple[torch.Tensor, torch.Tensor]]] = {}
    norms: dict[str, SavedNorm] = {}
    products = layer.products
    dtype = products["qkv"].to_outputs.dtype
    projected = adapted_product("qkv", hidden.to(dtype), products, adapters.every, index, kept)
    attended, of_attention = attention_forward(projected, layer.heads, layout)
    wanted, own = adapters.wanted, adapters.last if last else adapters.every
    if last and wanted is not None:
        attended, hidden = attended.index_select(0, wanted), hidden.index_select(0, wanted)
    added = hidden + adapted_product("out", attended, products, own, index, kept)
    normed = _norm("out", added, layer, norms)
    risen = adapted_product("rise", normed.to(dtype), products, own, index, kept)
    activated = torch.nn.functional.gelu(risen)
    added = normed + adapted_product("fall", activated, products, own, index, kept)
    hidden = _norm("fall", added, layer, norms)
    return hidden, (norms, kept, of_attention, risen)


def _layer_backward(
    gradient: torch.Tensor,
    layer: EncoderLayer,
    index: int,
    layout: AttentionLayout,
    adapters: PassAdapters,
    last: bool,
    saved: SavedEncoderLayer,
) -> torch.Tensor:
    """Fill the adapters' gradients; return the stream's gradient before the layer.

    Nothing learns below the first layer, so its return value is not the gradient there.
    """
    products = layer.products
    norms, kept, of_attention, risen = saved
    dtype = products["qkv"].to_outputs.dtype
    wanted, own = adapters.wanted, adapters.last if last else adapters.every
    gradient = _norm_backward("fall", gradient, layer, norms)
    to_activated = product_backward("fall", gradient.to(dtype), products, own, index, kept)
    to_risen = torch.ops.aten.gelu_backward(to_activated, risen)
    gradient = gradient + product_backward("rise", to_risen, products, own, index, kept)
    gradient = _norm_backward("out", gradient, layer, norms)
    to_attended = product_backward("out", gradient.to(dtype), products, own, index, kept)
    if last and wanted is not None:
        count = len(layout.collect) // layer.heads.query_heads
        to_attended, gradient = (
            scattered(to_attended, wanted, count),
            scattered(gradient, wanted, count),
        )
    projected = attention_backward(to_attended, layer.heads, layout, of_attention)
    if index == 0:
        adapters_backward("qkv", projected, adapters.every, index, kept)
        return gradient
    return gradient + product_backward("qkv", projected, products, adapters.every, index, kept)


def _norm(
    name: str, rows: torch.Tensor, layer: EncoderLayer, norms: dict[str, SavedNorm]
) -> torch.Tensor:
    norm = layer.norms[name]
    normed, mean, scale = torch.native_layer_norm(
        rows, [rows.shape[1]], norm.weight, norm.bias, norm.epsilon
    )
    norms[name] = (rows, mean, scale)
    return normed


def _norm_backward(
    name: str, gradient: torch.Tensor, layer: EncoderLayer, norms: dict[str, SavedNorm]
) -> torch.Tensor:
    norm = layer.norms[name]
    rows, mean, scale = norms[name]
    found: torch.Tensor = torch.ops.aten.native_layer_norm_backward(
        gradient,
        rows,
        [gradient.shape[1]],
        mean,
        scale,
        norm.weight,
        norm.bias,
        [True, False, False],
    )[0]
    return found


class Encoder(PackedLayers):
    """The layers of an encoder."""

    # Layers are so small that two passes at a time wait for Python's lock more than they gain.
    parts = 1
    # Kernels are made for a number of tokens, a third of a millisecond each: a dozen a step would
    # be a sixth of it.
    multiple = 8
    _forward = staticmethod(encoder_forward)
    _backward = staticmethod(encoder_backward)

    def __init__(self, model: Any, dtype: torch.dtype) -> None:
        super().__init__(model, dtype)
        self.layers = [_packed_layer(layer, model.config, dtype) for layer in layers_of(model)]

    def layout(self, batch: RaggedBatch) -> AttentionLayout:
        """Lay out the attention of a batch."""
        return attention_layout(batch, self.layers[0].heads, None)

    def embed(self, batch: RaggedBatch) -> torch.Tensor:
        """Return the normed sum of the vectors of words and positions."""
        embeddings = self.model.embeddings
        # RoBERTa counts positions from behind the padding token's number on.
        first = 0 if self.model.config.model_type == "bert" else embeddings.padding_idx + 1
        embedded: torch.Tensor = embeddings(
            input_ids=batch.ids[None], position_ids=batch.positions[None] + first
        )
        return embedded[0].float()

    def final_norm(self, stream: torch.Tensor) -> torch.Tensor:
        """Return the stream, which the last layer has normed."""
        return stream

    def saved_bytes(self, longest: int) -> int:
        """Return the bytes of norms, attention and what GELU gets."""
        width, projected = self.shape("qkv")
        weights = int(self.layers[0].heads.query_heads) * longest
        risen = self.dtype.itemsize * self.shape("rise")[1]
        return FLOAT32_BYTES * (2 * width + projected + weights) + risen


def is_encoder(model: Any) -> bool:
    """Return whether `Encoder` computes models of this architecture and configuration."""
    config = model.config
    return (
        type(model).__name__ in ("BertModel", "RobertaModel", "XLMRobertaModel")
        and config.hidden_act == "gelu"
        and not config.is_decoder
        and all(plain_linears(layer) for layer in layers_of(model))
    )


def _packed_layer(layer: Any, config: Any, dtype: torch.dtype) -> EncoderLayer:
    products = {}
    for name, paths in ENCODER_PRODUCTS.items():
        linears = [layer.get_submodule(path) for path in paths]
        matrices, biases = [one.weight for one in linears], [one.bias for one in linears]
        products[name] = PackedLinear.of(matrices, biases, dtype)
    norms = {}
    for name, path in NORMS_AFTER.items():
        norm = layer.get_submodule(path)
        norms[name] = Norm(norm.weight.detach().float(), norm.bias.detach().float(), norm.eps)
    count = config.num_attention_heads
    size = config.hidden_size // count
    heads = AttentionHeads(count, count, size, size**-0.5, both_ways=True)
    return EncoderLayer(products, norms, heads)
