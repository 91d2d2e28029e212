"""One forward and backward pass over parts of several runs' batches, and how batches are split."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from choose.models.hardware.memory import halvings, limits_of
from choose.models.lora.batching import RaggedBatch, ragged_batch, split_batch
from choose.models.lora.fused.linear_layers import FlatAdapters, LoraMatrices, RunAdapters
from choose.models.lora.fused.packed_layers import FLOAT32_BYTES, PackedLayers
from choose.models.lora.training_run import Objective

# Most tokens of a part of a batch, where memory would allow more.
MAX_PART_TOKENS = 1024


@dataclass(frozen=True, slots=True)
class RunPart:
    """Rows of one run for one pass, with their loss.

    `prefixes` (rows,) are the rows of the part that a row continues, -1 for none; `objective` is
    about the rows that `asked` names. `dropout_seeds` has, for each part of a batch, its number of
    rows and a seed that names trial, step and part, so that a row's dropout does not depend on the
    other rows of the pass. With `recompute`, activations of a layer are computed again in backward.
    """

    objective: Objective
    matrices: Mapping[str, LoraMatrices]
    dropout: float
    recompute: bool = False
    rows: list[Sequence[int]] = field(default_factory=list)
    prefixes: list[int] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)
    dropout_seeds: list[tuple[int, tuple[int, ...]]] = field(default_factory=list)

    def add(self, row: Sequence[int], prefix: int = -1) -> int:
        self.rows.append(row)
        self.prefixes.append(prefix)
        return len(self.rows) - 1


@dataclass(frozen=True, slots=True)
class RunGradients:
    """A part's adapters with their gradients by product, and those of the head's parameters."""

    adapters: Mapping[str, RunAdapters]
    head: tuple[torch.Tensor, ...]


def forward_backward(
    decoder: PackedLayers, parts: Sequence[RunPart], device: str
) -> list[RunGradients]:
    """Return the gradients of each part; all parts share the products with frozen matrices."""
    rows: list[Sequence[int]] = []
    prefixes: list[int] = []
    for part in parts:
        prefixes += [prefix if prefix < 0 else len(rows) + prefix for prefix in part.prefixes]
        rows += part.rows
    batch = ragged_batch(rows, device, prefixes)
    with torch.no_grad():
        layout, runs = decoder.layout(batch), _adapted_runs(decoder, parts)
        recompute = any(part.recompute for part in parts)
        places = _places(batch, parts)
        stream, saved = decoder.forward(decoder.embed(batch), layout, runs, recompute, places)
        to_stream, heads = _head_gradients(decoder, places, stream, parts)
        decoder.backward(to_stream, layout, saved)
    return [RunGradients(run, head) for run, head in zip(runs, heads, strict=True)]


def _adapted_runs(decoder: PackedLayers, parts: Sequence[RunPart]) -> list[dict[str, RunAdapters]]:
    """Return the adapters of each part by product, with memory for their gradients."""
    runs, start = [], 0
    for part in parts:
        stop, masks = start + sum(map(len, part.rows)), _dropout_masks(decoder, part)
        run = {}
        for name, (a, b) in part.matrices.items():
            empty = torch.empty_like(a), torch.empty_like(b)
            run[name] = RunAdapters(start, stop, a, b, *empty, masks.get(name))
        runs.append(run)
        start = stop
    return runs


def _dropout_masks(decoder: PackedLayers, part: RunPart) -> dict[str, torch.Tensor]:
    """Draw masks (layers, tokens, inputs) by product, scaled to keep the inputs' mean.

    Adapters that read the same input share a mask.
    """
    if not part.dropout:
        return {}
    masks: dict[str, list[torch.Tensor]] = {name: [] for name in part.matrices}
    start = 0
    for rows, seed in part.dropout_seeds:
        tokens = sum(map(len, part.rows[start : start + rows]))
        start += rows
        shapes = {
            name: (len(decoder.layers), tokens, decoder.shape(name)[0]) for name in part.matrices
        }
        like = next(iter(part.matrices.values())).a
        draw = _drawn_here if like.device.type == "cpu" else _drawn_there
        for name, kept in draw(shapes, seed, part.dropout, like).items():
            masks[name].append(kept.mul_(1 / (1 - part.dropout)))
    return {name: some[0] if len(some) == 1 else torch.cat(some, 1) for name, some in masks.items()}


def _drawn_here(
    shapes: Mapping[str, tuple[int, ...]], seed: tuple[int, ...], dropout: float, like: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Return ones, and zeros in a share of the places, drawn by the processor."""
    generator, drawn = np.random.SFC64(np.random.SeedSequence(seed)), {}
    for name, shape in shapes.items():
        size = math.prod(shape)
        random = torch.from_numpy(generator.random_raw(-(-size // 4)).view(np.int16)[:size])
        keep = (random >= round(65536 * dropout) - 32768).view(shape)
        drawn[name] = keep.to(like.dtype)
    return drawn


def _drawn_there(
    shapes: Mapping[str, tuple[int, ...]], seed: tuple[int, ...], dropout: float, like: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Return the same, drawn by the accelerator that `like` is on.

    A processor takes 1.4 s for a step of 4,800 tokens of a model of eight billion weights, several
    times what a card takes for all the rest of the step.
    """
    (state,) = np.random.SeedSequence(seed).generate_state(1, np.uint64)
    generator = torch.Generator(like.device).manual_seed(int(state >> np.uint64(1)))
    return {
        name: like.new_empty(shape).bernoulli_(1 - dropout, generator=generator)
        for name, shape in shapes.items()
    }


def _places(batch: RaggedBatch, parts: Sequence[RunPart]) -> list[torch.Tensor]:
    """Return the tokens of each part whose states its objective reads."""
    places, start = [], 0
    for part in parts:
        starts = batch.starts[[start + row for row in part.asked]]
        places.append(part.objective.places(starts))
        start += len(part.rows)
    return places


def _head_gradients(
    decoder: PackedLayers,
    places: Sequence[torch.Tensor],
    stream: torch.Tensor,
    parts: Sequence[RunPart],
) -> tuple[torch.Tensor, list[tuple[torch.Tensor, ...]]]:
    """Return the gradient of the stream at the places, and those of each part's head."""
    with torch.enable_grad():
        stream.requires_grad_()
        states = decoder.final_norm(stream)
    pieces = torch.split(states.detach(), [len(some) for some in places])
    gradients = [
        part.objective.gradients(piece, decoder.vocabulary)
        for part, piece in zip(parts, pieces, strict=True)
    ]
    to_states = torch.cat([to_piece for to_piece, _ in gradients])
    (to_stream,) = torch.autograd.grad(states, stream, to_states)
    stream.requires_grad_(False)
    return to_stream, [head for _, head in gradients]


def max_part_tokens(adapters: FlatAdapters, longest: int, device: str) -> int:
    """Return the most tokens of a part of a batch whose longest row has `longest`.

    It depends on the run's own adapters only, so that a run's parts are the same whatever other
    runs are trained with it.
    """
    most = MAX_PART_TOKENS >> halvings(device)
    if device != "cpu":
        most = limits_of(device).training_tokens
    return max(1, min(most, tokens_in_memory(adapters, longest, device)))


def needs_recomputing(adapters: FlatAdapters, longest: int, device: str) -> bool:
    """Return whether a row of `longest` tokens leaves more activations than memory holds.

    A CPU, unless its memory ran out, has room for a row of twice the limit of a pass.
    """
    room = 2 if device == "cpu" and not halvings(device) else 1
    return longest > room * tokens_in_memory(adapters, longest, device)


def tokens_in_memory(adapters: FlatAdapters, longest: int, device: str) -> int:
    """Return the tokens of such rows whose activations fit into the memory of a pass."""
    return max(1, limits_of(device).activation_bytes // token_bytes(adapters, longest))


def token_bytes(adapters: FlatAdapters, longest: int) -> int:
    """Return the bytes that a pass saves for backward per token of rows of `longest` tokens."""
    layers = adapters.decoder
    saved = sum(_adapter_bytes(adapters, name, ranks) for name, ranks in adapters.ranks.items())
    return len(layers.layers) * (layers.saved_bytes(longest) + saved)


def _adapter_bytes(adapters: FlatAdapters, name: str, ranks: int) -> int:
    """Return the bytes per token of the inputs and outputs of a product's adapters, and masks."""
    layers, inputs = adapters.decoder, adapters.decoder.shape(name)[0]
    size = layers.dtype.itemsize
    # The output of a norm before a product is saved anyway, in float32.
    normed = layers.norms(name) is not None and size == FLOAT32_BYTES
    copies = 2 if adapters.dropout else 0 if normed else 1
    return size * (copies * inputs + ranks)


def group_into_passes(
    parts: Sequence[RunPart], runs: int, workers: int, max_tokens: int
) -> list[list[int]]:
    """Gather parts, by their indices, into passes of about `max_tokens`.

    The slowest pass decides how long a step takes, so all are of about the same size. A single
    run's parts stay apart.
    """
    if runs == 1:
        return [[n] for n in range(len(parts))]
    sizes = [sum(map(len, part.rows)) for part in parts]
    # The same number of passes for each worker.
    turns = math.ceil(sum(sizes) / (workers * max_tokens))
    return split_batch(sizes, max_tokens, workers * turns)
