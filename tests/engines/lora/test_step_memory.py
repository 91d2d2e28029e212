"""The memory of a training pass is counted rightly, and bounds the parts of a batch."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertModel, LlamaConfig, LlamaModel

from choose.engines.hardware.batch_limits import limits_of
from choose.engines.lora.batching import ragged_batch
from choose.engines.lora.classifier import untrained_model
from choose.engines.lora.fused.attention import LONG
from choose.engines.lora.fused.frozen_layers import Decoder, Encoder
from choose.engines.lora.fused.linear_layers import FlatAdapters
from choose.engines.lora.fused.training_step import (
    RunPart,
    _adapters_of,
    _dropout_masks,
    max_part_tokens,
    token_bytes,
    tokens_in_memory,
)
from choose.engines.lora.model import AdapterSpec, Base

# The default model's shape, without its weights.
SMOLLM2: dict[str, Any] = {
    "vocab_size": 64,
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
}


def adapters(targets, dropout, dtype=torch.float32, **more):
    config = LlamaConfig(**{**SMOLLM2, "num_hidden_layers": 30, **more})
    model = LlamaModel(config).requires_grad_(False)
    base = Base(model, None, True, False, "cpu")
    tuned = untrained_model(base, AdapterSpec(16, targets, dropout), 3, "tiny")
    return FlatAdapters(tuned.adapter, Decoder(model, dtype))


def of_encoder(targets: Any, dtype: torch.dtype) -> FlatAdapters:
    shape = {"hidden_size": 48, "intermediate_size": 96, "num_attention_heads": 4}
    model = BertModel(BertConfig(vocab_size=64, num_hidden_layers=2, **shape))
    base = Base(model.requires_grad_(False), None, False, False, "cpu")
    tuned = untrained_model(base, AdapterSpec(4, targets, 0.0), 3, "tiny")
    return FlatAdapters(tuned.adapter, Encoder(model, dtype))


def tensors(kept: Any) -> Iterator[torch.Tensor]:
    if isinstance(kept, torch.Tensor):
        yield kept
    elif isinstance(kept, dict):
        yield from tensors(list(kept.values()))
    elif isinstance(kept, list | tuple):
        for one in kept:
            yield from tensors(one)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("dropout", [0.0, 0.1])
@pytest.mark.parametrize("targets", ["attention", "all"])
def test_the_counted_bytes_are_the_saved_bytes(targets, dropout, dtype):
    assert_counted(adapters(targets, dropout, dtype, num_hidden_layers=2), 40, 0.03)
    if not dropout:
        assert_counted(of_encoder(targets, dtype), 40, 0.1)


def test_no_weights_of_attention_are_saved_for_long_rows() -> None:
    found = adapters("attention", 0.0, num_hidden_layers=2)
    short, long = (assert_counted(found, length, 0.03) for length in (190, 600))
    assert long < 3 * short  # and not ten times as many


def assert_counted(found: FlatAdapters, length: int, apart: float) -> float:
    """Compare the bytes saved for rows with what is counted before; return the saved ones."""
    decoder, rows = found.decoder, [[1] * length] * 3
    noise = [(3, (0,))]
    part = RunPart(None, found.matrices(), found.dropout, False, rows, [-1] * 3, [0, 1, 2], noise)
    batch = ragged_batch(rows, "cpu")
    stream = decoder.embed(batch)
    adapted = _adapters_of(decoder, [part])
    _, (*_, entered, kept) = decoder.forward(stream, decoder.layout(batch), adapted)
    held = [*tensors([entered, kept]), *_dropout_masks(decoder, part).values()]
    whole = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in held}
    saved = sum(whole.values())
    # Weights count for all rows, since shorter ones of the same batch may keep them.
    unsaved = 4 * decoder.layers[0].heads.query_heads * LONG * 2 if length >= LONG else 0
    assert saved / (3 * length) == pytest.approx(token_bytes(found, length) - unsaved, rel=apart)
    return saved


@pytest.mark.slow
def test_parts_are_smaller_where_more_is_saved() -> None:
    usual, every = adapters("attention", 0.05), adapters("all", 0.05)
    assert max_part_tokens(usual, 128) == 512 < tokens_in_memory(usual, 128) < 600
    assert max_part_tokens(every, 128) < 400
    for one in (usual, every):
        most = max_part_tokens(one, 128) * token_bytes(one, 128)
        assert most <= limits_of("cpu").activation_bytes <= 0.65e9
    assert tokens_in_memory(usual, 2048) < tokens_in_memory(usual, 128)
    # Passes of several trials on short texts are as large as is fast.
    assert tokens_in_memory(usual, 20) >= limits_of("cpu").training_tokens
    halves = adapters("attention", 0.05, torch.bfloat16)
    assert tokens_in_memory(halves, 128) > 1.4 * tokens_in_memory(usual, 128)
