"""One forward and backward pass over parts of several runs' batches; how batches are split."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from choose.models.hardware.memory import limits_of
from choose.models.lora.fused.attention import RaggedBatch, ragged_batch
from choose.models.lora.fused.decoder import AdaptedRun, Decoder
from choose.models.lora.fused.flat_adapters import FlatAdapters, LoraMatrices
from choose.models.lora.fused.linear import NORMS
from choose.models.lora.fused.lower_layers import LowerLayers
from choose.models.lora.model import head_logits

if TYPE_CHECKING:
    import torch

# A batch is trained in two parts, one on each of two cores: two passes that never wait for each
# other are faster than one whose every small product is divided. Parts and their order are the
# same on any number of cores, so the trained weights are too.
PARTS_PER_BATCH = 2

# Most tokens of a part of a batch, where memory would allow more.
MAX_PART_TOKENS = 1024

# The stream and attention are float32 whatever number type the products have.
_FLOAT32_BYTES = 4


@dataclass(frozen=True, slots=True)
class RunPart:
    """Rows of one run for one pass, with their classes and weights in the loss.

    `dropout_seeds` has, for each part of a batch, its number of rows and a seed that names trial,
    step and part, so that a row's dropout does not depend on the other rows of the pass.
    """

    rows: Sequence[Sequence[int]]
    targets: torch.Tensor
    weights: torch.Tensor
    matrices: Mapping[str, LoraMatrices]
    head: torch.nn.Linear
    dropout: float
    dropout_seeds: Sequence[tuple[int, tuple[int, ...]]]


@dataclass(frozen=True, slots=True)
class RunGradients:
    """A part's gradients: of the adapters by product, and of the head's weight and bias."""

    matrices: Mapping[str, LoraMatrices]
    head: tuple[torch.Tensor, ...]


def forward_backward(
    decoder: Decoder, parts: Sequence[RunPart], lower: LowerLayers
) -> list[RunGradients]:
    """Return the gradients of each part; all parts share the products with frozen matrices.

    `decoder` holds the adapted layers, `lower` the ones below.
    """
    import torch

    rows = [row for part in parts for row in part.rows]
    batch = ragged_batch(rows, lower.device)
    with torch.no_grad():
        layout, runs = decoder.layout(batch), _adapted_runs(decoder, parts)
        stream, saved = decoder.forward(lower.hidden_states(rows, batch), layout, runs)
        to_stream, heads = _head_gradients(decoder, batch, stream, parts)
        decoder.backward(to_stream, layout, runs, saved)
    return [RunGradients(run.gradients, head) for run, head in zip(runs, heads, strict=True)]


def _adapted_runs(decoder: Decoder, parts: Sequence[RunPart]) -> list[AdaptedRun]:
    runs, start = [], 0
    for part in parts:
        tokens = slice(start, start + sum(map(len, part.rows)))
        gradients = {name: matrices.empty() for name, matrices in part.matrices.items()}
        runs.append(AdaptedRun(tokens, part.matrices, gradients, _dropout_masks(decoder, part)))
        start = tokens.stop
    return runs


def _dropout_masks(decoder: Decoder, part: RunPart) -> dict[str, torch.Tensor]:
    """Draw masks (layers, tokens, inputs) by product, scaled to keep the inputs' mean.

    Adapters that read the same input share a mask.
    """
    import torch

    if not part.dropout:
        return {}
    masks: dict[str, list[torch.Tensor]] = {name: [] for name in part.matrices}
    start = 0
    for rows, seed in part.dropout_seeds:
        generator = np.random.SFC64(np.random.SeedSequence(seed))
        tokens = sum(map(len, part.rows[start : start + rows]))
        start += rows
        for name, matrices in part.matrices.items():
            shape = (len(decoder.layers), tokens, decoder.shape(name)[0])
            size = shape[0] * shape[1] * shape[2]
            random = torch.from_numpy(generator.random_raw(-(-size // 4)).view(np.int16)[:size])
            keep = (random >= round(65536 * part.dropout) - 32768).view(shape)
            mask = keep.to(matrices.a.device, matrices.a.dtype).mul_(1 / (1 - part.dropout))
            masks[name].append(mask)
    return {name: some[0] if len(some) == 1 else torch.cat(some, 1) for name, some in masks.items()}


def _head_gradients(
    decoder: Decoder, batch: RaggedBatch, stream: torch.Tensor, parts: Sequence[RunPart]
) -> tuple[torch.Tensor, list[tuple[torch.Tensor, ...]]]:
    """Return the gradient of the stream, and those of each part's head."""
    import torch

    # Copies, since parts of one batch in one pass each need their own gradient of the same head.
    heads = [[p.detach().requires_grad_() for p in part.head.parameters()] for part in parts]
    with torch.enable_grad():
        stream.requires_grad_()
        states = decoder.model.norm(batch.last_tokens(stream))
        loss, start = torch.zeros((), device=stream.device), 0
        for part, head in zip(parts, heads, strict=True):
            logits = head_logits(states[start : start + len(part.rows)], *head)
            losses = torch.nn.functional.cross_entropy(logits, part.targets, reduction="none")
            loss = loss + (losses * part.weights).sum()
            start += len(part.rows)
        flat: list[Any] = [stream, *(parameter for head in heads for parameter in head)]
        to_stream, *rest = torch.autograd.grad(loss, flat)
    stream.requires_grad_(False)
    remaining = iter(rest)
    return to_stream, [tuple(next(remaining) for _ in head) for head in heads]


def max_part_tokens(adapters: FlatAdapters, longest: int, device: str) -> int:
    """Return the most tokens of a part of a batch whose longest row has `longest`.

    It depends on the run's own adapters only, so that a run's parts are the same whatever other
    runs are trained with it.
    """
    return min(MAX_PART_TOKENS, tokens_in_memory(adapters, longest, device))


def tokens_in_memory(adapters: FlatAdapters, longest: int, device: str) -> int:
    """Return the tokens of such rows whose activations fit into the memory of a pass."""
    return max(1, limits_of(device).activation_bytes // token_bytes(adapters, longest))


def token_bytes(adapters: FlatAdapters, longest: int) -> int:
    """Return the bytes that a pass saves for backward per token of rows of `longest` tokens."""
    decoder = adapters.decoder
    width, projected = decoder.shape("qkv")
    norms = 2 * _FLOAT32_BYTES * (width + 1)
    attention = _FLOAT32_BYTES * (projected + decoder.layers[0].heads.query_heads * longest)
    gate = 3 * decoder.dtype.itemsize * decoder.shape("rise")[1] // 2
    saved = sum(_adapter_bytes(adapters, name, ranks) for name, ranks in adapters.ranks.items())
    return len(decoder.layers) * (norms + attention + gate + saved)


def _adapter_bytes(adapters: FlatAdapters, name: str, ranks: int) -> int:
    """Return the bytes per token of the inputs and outputs of a product's adapters, and masks."""
    size, inputs = adapters.decoder.dtype.itemsize, adapters.decoder.shape(name)[0]
    # The output of a norm is saved anyway, in float32.
    copies = 2 if adapters.dropout else 0 if name in NORMS and size == _FLOAT32_BYTES else 1
    return size * (copies * inputs + ranks)


def split_batch(lengths: Sequence[int], max_tokens: int) -> list[list[int]]:
    """Divide a batch's rows into parts of about as many tokens, about `max_tokens` at most."""
    count = min(len(lengths), max(PARTS_PER_BATCH, math.ceil(sum(lengths) / max_tokens)))
    parts: list[list[int]] = [[] for _ in range(count)]
    sizes = [0] * count
    for row in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        lightest = sizes.index(min(sizes))
        parts[lightest].append(row)
        sizes[lightest] += lengths[row]
    return parts


def group_into_passes(
    parts: Sequence[RunPart], runs: int, workers: int, max_tokens: int
) -> list[list[RunPart]]:
    """Gather neighbouring parts into passes of about `max_tokens`; a single run's stay apart."""
    if runs == 1:
        return [[part] for part in parts]
    sizes = [sum(map(len, part.rows)) for part in parts]
    # The same number of passes for each worker, of about the same size.
    turns = math.ceil(sum(sizes) / (workers * max_tokens))
    pass_size = sum(sizes) / (workers * turns)
    passes: list[list[RunPart]] = [[]]
    filled = 0
    for part, size in zip(parts, sizes, strict=True):
        if passes[-1] and filled + size / 2 > pass_size * len(passes):
            passes.append([])
        passes[-1].append(part)
        filled += size
    return passes
