"""The layers of encoders as BERT and RoBERTa have them."""

from __future__ import annotations

from typing import Any

import torch

from choose.models.hardware.unpadded_encoder import plain_linears
from choose.models.lora.batching import RaggedBatch
from choose.models.lora.fused.attention import AttentionHeads, AttentionLayout, attention_layout
from choose.models.lora.fused.decoder import FLOAT32_BYTES, PackedLayers
from choose.models.lora.fused.layers import Layer
from choose.models.lora.fused.linear_layers import ENCODER_PRODUCTS, layers_of, packed_product_of

# The norm after a product.
NORMS_AFTER = {"out": "attention.output.LayerNorm", "fall": "output.LayerNorm"}


class Encoder(PackedLayers):
    """The layers of an encoder."""

    # Layers are so small that two passes at a time wait for Python's lock more than they gain.
    parts = 1
    # Kernels are made for a number of tokens, a third of a millisecond each: a dozen a step would
    # be a sixth of it.
    multiple = 8

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


def _packed_layer(layer: Any, config: Any, dtype: torch.dtype) -> Layer:
    products = {
        name: packed_product_of([layer.get_submodule(path) for path in paths], dtype, shares=False)
        for name, paths in ENCODER_PRODUCTS.items()
    }
    norms = {
        name: [weights.detach().float() for weights in layer.get_submodule(path).parameters()]
        for name, path in NORMS_AFTER.items()
    }
    count = config.num_attention_heads
    size = config.hidden_size // count
    heads = AttentionHeads(count, count, size, size**-0.5, both_ways=True)
    return Layer(products, norms, heads, config.layer_norm_eps)
