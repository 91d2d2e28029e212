"""Encoders such as BERT over the tokens of a batch alone, without its padding.

Layers are those of the engine, over packed weights; results are those of the plain ones within
rounding. Models that are built otherwise compute as before.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from choose.engines.hardware.packed_products import MOST_BYTES, prepared, replacing
from choose.engines.lora.fused.frozen_layers import Encoder, is_encoder
from choose.engines.lora.fused.training_step import Reader

if TYPE_CHECKING:
    from choose.engines.hardware.packed_products import Forward, Forwards

# Texts of several lengths, whose vectors tell whether layers compute what their names say.
_SAMPLES = ("it", "one of two", "which of these is long?", "the third is longer than the rest")

# How far apart those vectors may be, as a share of their largest number.
_TOLERANCE = 1e-4


@contextmanager
def unpadded(model: Any) -> Iterator[bool]:
    """Let the encoder in a sentence-transformers model skip padding inside the block, if it can.

    Yields whether it does. Weights are packed, and vectors of sample texts compared, when a model
    is first used and after its weights have changed. Outside the block the model is as it
    was.
    """
    # On accelerators nothing was measured, and packed weights are for the CPU.
    forwards = prepared(model, _forwards) if model.device.type == "cpu" else ()
    with replacing(forwards):
        yield bool(forwards)


def _forwards(model: Any) -> Forwards:
    forwards = [(module, _forward(module)) for module in _encoders(model)]
    return forwards if forwards and _same_vectors(model, forwards) else ()


def _encoders(model: Any) -> list[Any]:
    """Return the encoders in float32 that the engine computes; no large ones, held twice."""
    linears = (m for m in model.modules() if isinstance(m, torch.nn.Linear))
    if model.dtype is not torch.float32 or sum(m.weight.nbytes for m in linears) > MOST_BYTES:
        return []
    return [
        module
        for module in model.modules()
        if isinstance(module, PreTrainedModel)
        and is_encoder(module)
        and not module.config.output_hidden_states
    ]


def _same_vectors(model: Any, forwards: Forwards) -> bool:
    """Return whether texts get the same vectors: names say little about what is computed."""
    try:
        plain = model.encode([*_SAMPLES], show_progress_bar=False)
        with replacing(forwards):
            vectors = model.encode([*_SAMPLES], show_progress_bar=False)
    except Exception:  # whatever stops it, texts are embedded the plain way, or fail there
        return False
    return bool(abs(vectors - plain).max() <= _TOLERANCE * abs(plain).max())


def _forward(encoder: Any) -> Forward:
    plain, reader = encoder.forward, Reader(Encoder(encoder, torch.float32, trains=False))

    def forward(
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        return_dict: Any = None,
        **more: Any,
    ) -> Any:
        usual = input_ids is not None and attention_mask is not None
        usual = usual and all(value is None or value is False for value in more.values())
        usual = usual and (token_type_ids is None or not token_type_ids.any())
        if not usual or torch.is_grad_enabled() or not attention_mask.any(1).all():
            given = {"attention_mask": attention_mask, "token_type_ids": token_type_ids}
            return plain(input_ids, **given, return_dict=return_dict, **more)
        states = _states(reader, input_ids, attention_mask.bool())
        return BaseModelOutput(last_hidden_state=states)

    return forward


def _states(reader: Reader, ids: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Return (texts, length, width) states after all layers, zero where there is no token."""
    states = reader.states_by_row(
        [text[own].tolist() for text, own in zip(ids, tokens, strict=True)]
    )
    padded = states[0].new_zeros(*ids.shape, states[0].shape[1])
    padded[tokens] = torch.cat(states)
    return padded
