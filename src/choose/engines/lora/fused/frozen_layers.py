"""Layers of decoders and encoders over packed frozen weights, forward and backward by hand.

Only adapters learn, so backward needs no gradient of a frozen matrix and skips most of what
autograd would save, cast and call. In float32 the gradients are PEFT's (tested).
"""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import torch

from choose.engines.lora.batching import PARTS_PER_BATCH, RaggedBatch
from choose.engines.lora.fused.attention import (
    LONG,
    AttentionHeads,
    AttentionLayout,
    attention_layout,
)
from choose.engines.lora.fused.layers import Layer, layers_backward, layers_forward
from choose.engines.lora.fused.linear_layers import (
    ENCODER_PRODUCTS,
    PRODUCTS,
    Outputs,
    PackedLinear,
    RunAdapters,
    in_order,
    layers_of,
    products_of,
)

# The stream and attention are float32 whatever number type the products have.
FLOAT32_BYTES = 4


@cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function compiled by TorchScript, or itself where torch cannot compile it."""
    with warnings.catch_warnings():
        # Deprecated, but what replaces it needs a C++ compiler on the user's machine.
        warnings.simplefilter("ignore")
        try:
            compiled: Callable[..., Any] = torch.jit.script(function)
        except Exception:  # source files or TorchScript may be missing; the results are the same
            return function
        return compiled


class PackedLayers(ABC):
    """A base's layers, packed; built once a process and number type.

    Attributes:
        layers: what the compiled functions take.
        vocabulary: the product that turns the last states into logits, where the base writes.
        parts: the fewest passes of a batch, for as many cores.
        multiple: tokens of a part are filled up to one of it; 0: of a power of two, 1/16 at most.
    """

    layers: list[Any]
    vocabulary: Any = None
    parts = PARTS_PER_BATCH
    multiple = 0

    def __init__(self, model: Any, dtype: torch.dtype) -> None:
        self.model, self.dtype = model, dtype

    @abstractmethod
    def layout(self, batch: RaggedBatch) -> AttentionLayout:
        """Lay out the attention of a batch."""

    @abstractmethod
    def embed(self, batch: RaggedBatch) -> torch.Tensor:
        """Return the stream (tokens, width) float32 that enters the first layer."""

    @abstractmethod
    def final_norm(self, stream: torch.Tensor) -> torch.Tensor:
        """Return the states of the stream after the last layer; autograd follows it."""

    def saved_bytes(self, longest: int) -> int:
        """Return the bytes per token that a layer saves for backward beside its adapters'."""
        heads, (width, projected) = self.layers[0].heads, self.shape("qkv")
        seen = longest if heads.both_ways else min(longest, LONG)
        stream = FLOAT32_BYTES * (2 * width + projected + heads.query_heads * seen)
        # What an activation gets; of a gate also both of its factors.
        risen = self.dtype.itemsize * self.shape("rise")[1]
        return int(stream + risen * (1 if heads.both_ways else 1.5))

    def shape(self, name: str) -> tuple[int, int]:
        """Return how wide a product's input and output are."""
        outputs, inputs = self.layers[0].products[name].to_outputs.shape
        return inputs, outputs

    def outputs(self, name: str) -> dict[str, Outputs]:
        """Return the outputs of a product's linears by their paths."""
        return outputs_of(layers_of(self.model)[0], name, self.layers[0].heads)

    def forward(
        self,
        hidden: torch.Tensor,
        layout: AttentionLayout,
        runs: Sequence[Mapping[str, RunAdapters]],
        keeps: str = "all",
    ) -> tuple[torch.Tensor, Any]:
        """Return the stream (tokens, width) before the last norm, and what `backward` needs.

        `hidden` is the float32 stream that enters the first of the layers, and is overwritten. If
        it `keeps` only this of each layer ("stream"), `backward` computes the rest again. Of layers
        below the first that has adapters nothing is kept.
        """
        adapters = {name: [run[name] for run in runs if name in run] for name in PRODUCTS}
        counts = [len(one.a) for some in adapters.values() for one in some]
        below = len(self.layers) - max(counts, default=len(self.layers))
        if below:
            none: dict[str, list[RunAdapters]] = {name: [] for name in PRODUCTS}
            whole = layout._replace(ends={})
            hidden, *_ = _compiled(layers_forward)(
                hidden, self.layers[:below], whole, none, "nothing"
            )
        upper = self.layers[below:]
        stream, *saved = _compiled(layers_forward)(hidden, upper, layout, adapters, keeps)
        return stream, (upper, layout, adapters, *saved)

    def backward(self, gradient: torch.Tensor, saved: Any) -> None:
        """Fill the adapters' gradients from the stream's, which is overwritten."""
        _compiled(layers_backward)(gradient, *saved)


class Decoder(PackedLayers):
    """The layers of a Llama-like decoder."""

    def __init__(self, model: Any, dtype: torch.dtype, vocabulary: Any = None) -> None:
        super().__init__(model, dtype)
        self.vocabulary = vocabulary and PackedLinear.of([vocabulary], dtype)
        self.layers = [_decoder_layer(layer, dtype) for layer in model.layers]

    def layout(self, batch: RaggedBatch) -> AttentionLayout:
        positions = torch.arange(batch.longest, device=batch.ids.device)
        with torch.no_grad():
            # In float32, whatever number type the base has.
            cosine, sine = self.model.rotary_emb(self.model.norm.weight.float(), positions[None])
        rotations = cosine[0].float(), sine[0].float()
        return attention_layout(batch, self.layers[0].heads, rotations)

    def embed(self, batch: RaggedBatch) -> torch.Tensor:
        return self.model.embed_tokens(batch.ids).float()

    def final_norm(self, stream: torch.Tensor) -> torch.Tensor:
        return self.model.norm(stream)


def _decoder_layer(layer: Any, dtype: torch.dtype) -> Layer:
    attention = layer.self_attn
    size = attention.head_dim
    queries, keys = (one.out_features // size for one in (attention.q_proj, attention.k_proj))
    heads = AttentionHeads(queries, keys, size, attention.scaling)
    norms = {
        name: [layer.get_submodule(path).weight.detach().float()] for name, path in NORMS.items()
    }
    products = _products(layer, dtype, heads)
    return Layer(products, norms, heads, layer.input_layernorm.variance_epsilon)


def _products(
    layer: Any, dtype: torch.dtype, heads: AttentionHeads, trains: bool = True
) -> dict[str, PackedLinear]:
    """Pack a layer's linears."""
    return {
        name: PackedLinear.of(
            [layer.get_submodule(path) for path in paths],
            dtype,
            trains,
            [*outputs_of(layer, name, heads).values()],
        )
        for name, paths in products_of(layer).items()
    }


def outputs_of(layer: Any, name: str, heads: AttentionHeads) -> dict[str, Outputs]:
    """Return the outputs of a product's linears by their paths.

    Queries are times the scaling of attention. Of queries and keys that are rotated, both halves of
    a head alternate, as real and imaginary parts.
    """
    paths = products_of(layer)[name]
    found = dict(zip(paths, in_order([*map(layer.get_submodule, paths)]), strict=True))
    for path in paths[:2] if name == "qkv" else ():
        places = found[path].places
        if isinstance(places, slice) and not heads.both_ways:
            every = torch.arange(places.start, places.stop)
            places = every.view(-1, heads.head_size // 2, 2).mT.flatten()
        found[path] = Outputs(places, heads.scaling if path == paths[0] else 1.0)
    return found


# The norm before a product of a decoder.
NORMS = {"qkv": "input_layernorm", "rise": "post_attention_layernorm"}

# The norm after a product.
NORMS_AFTER = {"out": "attention.output.LayerNorm", "fall": "output.LayerNorm"}


class Encoder(PackedLayers):
    """The layers of an encoder."""

    # Layers are so small that two passes at a time wait for Python's lock more than they gain.
    parts = 1
    # Kernels are made for a number of tokens, a third of a millisecond each: a dozen a step would
    # be a sixth of it.
    multiple = 8

    def __init__(self, model: Any, dtype: torch.dtype, trains: bool = True) -> None:
        super().__init__(model, dtype)
        self.layers = [
            _encoder_layer(layer, model.config, dtype, trains) for layer in layers_of(model)
        ]

    def layout(self, batch: RaggedBatch) -> AttentionLayout:
        return attention_layout(batch, self.layers[0].heads, None)

    def embed(self, batch: RaggedBatch) -> torch.Tensor:
        embeddings = self.model.embeddings
        # RoBERTa counts positions from behind the padding token's number on.
        first = 0 if self.model.config.model_type == "bert" else embeddings.padding_idx + 1
        embedded: torch.Tensor = embeddings(
            input_ids=batch.ids[None], position_ids=batch.positions[None] + first
        )
        return embedded[0].float()

    def final_norm(self, stream: torch.Tensor) -> torch.Tensor:
        return stream


def is_encoder(model: Any) -> bool:
    """Return whether `Encoder` computes models of this architecture and configuration."""
    config = model.config
    return (
        type(model).__name__ in ("BertModel", "RobertaModel", "XLMRobertaModel")
        and config.hidden_act == "gelu"
        and not config.is_decoder
        and all(map(_has_plain_linears, layers_of(model)))
    )


def _has_plain_linears(layer: Any) -> bool:
    return all(
        type(one) is torch.nn.Linear and one.bias is not None and "forward" not in one.__dict__
        for paths in ENCODER_PRODUCTS.values()
        for one in map(layer.get_submodule, paths)
    )


def _encoder_layer(layer: Any, config: Any, dtype: torch.dtype, trains: bool) -> Layer:
    norms = {
        name: [weights.detach().float() for weights in layer.get_submodule(path).parameters()]
        for name, path in NORMS_AFTER.items()
    }
    count = config.num_attention_heads
    size = config.hidden_size // count
    heads = AttentionHeads(count, count, size, size**-0.5, both_ways=True)
    return Layer(_products(layer, dtype, heads, trains), norms, heads, config.layer_norm_eps)
