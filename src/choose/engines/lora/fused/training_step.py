"""A training step of runs over one base: batches as parts, packed passes, and their gradients.

Several runs share the products of one pass. This is the folder's only public module.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, TypeVar, cast

import numpy as np
import torch

from choose.engines.environment_settings import cores
from choose.engines.hardware.batch_limits import halvings, limits_of
from choose.engines.hardware.device_and_dtype import trains_in_bfloat16
from choose.engines.hardware.packed_products import can_pack, state_of_weights
from choose.engines.hardware.placement import check_room
from choose.engines.hardware.timed_steps import share_threads
from choose.engines.lora.batching import (
    PARTS_PER_BATCH,
    RaggedBatch,
    batches_by_length,
    ragged_batch,
    split_batch,
)
from choose.engines.lora.fused.frozen_layers import Decoder, Encoder, PackedLayers, is_encoder
from choose.engines.lora.fused.linear_layers import (
    FlatAdapters,
    LoraMatrices,
    RunAdapters,
    layers_of,
)
from choose.engines.lora.model import Adapted, Base, is_causal
from choose.engines.lora.training_run import Objective, RunBatches, Step, TrainingRun

T = TypeVar("T")


def supports(model: Any) -> bool:
    """Return whether the engine computes models of this architecture, on a processor.

    Adapters over such a base are trained together: they share its products.
    """
    config = model.config
    if model.device.type != "cpu" or is_encoder(model):
        return bool(model.device.type == "cpu")
    kinds = getattr(config, "layer_types", None)
    slides = getattr(config, "sliding_window", None) is not None
    if kinds is not None:
        slides = any(kind != "full_attention" for kind in kinds)
    return (
        type(model).__name__ in ("LlamaModel", "MistralModel", "Qwen2Model")
        and getattr(config, "hidden_act", None) == "silu"
        and not getattr(config, "attention_dropout", 0.0)
        and is_causal(config)
        and not slides
    )


@contextmanager
def training_step(runs: Sequence[TrainingRun]) -> Iterator[Step]:
    """Yield the function that computes one step's gradients for runs over one base."""
    engine = FusedEngine(runs)
    products: Any = getattr(torch.backends.mkldnn, "matmul", None)  # from PyTorch 2.9 on
    before = products and products.fp32_precision
    try:
        if products and trains_in_bfloat16() and not torch.cpu._is_amx_tile_supported():
            # Attention's float32 products then take oneDNN's kernels, which on a processor of AMD
            # take less than half of the time. Without AMX they stay float32.
            products.fp32_precision = "bf16"
        with ThreadPoolExecutor(engine.workers) as pool:
            yield lambda batches: engine.step(batches, pool)
    finally:
        if products:
            products.fp32_precision = before
        torch.set_num_threads(engine.threads)
        for adapters in engine.adapters.values():
            adapters.detach_memory()


class FusedEngine:
    """Packed passes over parts of batches; several runs share the products of one pass."""

    def __init__(self, runs: Sequence[TrainingRun]) -> None:
        base = runs[0].model.base
        self._decoder, self._steps = training_layers(base), base.steps
        # Most passes at a time; the threads of the present step, and those of a pass.
        self.workers = min(PARTS_PER_BATCH, cores())
        self.threads = self._each = 1
        self.adapters, self._runs = {}, runs
        for run in runs:
            adapters = FlatAdapters(run.model.adapter, self._decoder)
            self.adapters[id(run)] = adapters
            run.create_optimiser([adapters.flat])

    def _spread(
        self, pool: ThreadPoolExecutor, work: Callable[..., T], *of: Sequence[Any]
    ) -> list[T]:
        """Do some work for each, several at a time where there are threads and work for it."""
        workers = max(1, min(self.workers, self.threads, len(of[0])))
        self._each = self.threads // workers
        return list((pool.map if workers > 1 else map)(work, *of))

    def step(self, batches: RunBatches, pool: ThreadPoolExecutor) -> None:
        tokens = sum(len(run.rows[i]) for run, indices in batches for i in indices)
        with self._steps[f"training {len(batches)}"].step(tokens) as self.threads:
            self._step(batches, pool)

    def _step(self, batches: RunBatches, pool: ThreadPoolExecutor) -> None:
        # What is done here is little, and threads that wait for more of it take the workers'.
        torch.set_num_threads(1)
        max_tokens = min(
            limits_of("cpu").training_tokens,
            *(tokens_in_memory(self.adapters[id(run)], _longest(run, i)) for run, i in batches),
        )
        limit = 0 if len(batches) == 1 else max_tokens
        each = zip(*batches, strict=True)
        divided = self._spread(pool, lambda run, i: [*self._parts(run, i, limit)], *each)
        parts = [part for some in divided for part in some]
        passes = group_into_passes(parts, len(batches), self.workers, max_tokens)
        computed = self._spread(pool, self._pass, [[parts[n] for n in some] for some in passes])
        found = dict(zip(chain(*passes), chain(*computed), strict=True))
        gradients = (found[n] for n in range(len(parts)))
        owned = [list(islice(gradients, len(some))) for some in divided]
        self._spread(pool, self._set_gradients, [run for run, _ in batches], owned)

    def _pass(self, parts: list[RunPart]) -> list[RunGradients]:
        torch.set_num_threads(self._each)
        return forward_backward(self._decoder, parts)

    def _set_gradients(self, run: TrainingRun, gradients: Sequence[RunGradients]) -> None:
        self.adapters[id(run)].set_gradients([each.adapters for each in gradients])
        for index, parameter in enumerate(run.model.head_parameters.values()):
            first, *others = (each.head[index] for each in gradients)
            parameter.grad = sum(others, first)

    def _parts(self, run: TrainingRun, indices: list[int], max_tokens: int) -> Iterator[RunPart]:
        """Yield a batch's parts, as one if it has at most `max_tokens`."""
        torch.set_num_threads(1)
        adapters = self.adapters[id(run)]
        matrices = adapters.matrices()
        units = _units(run, indices)
        lengths = [tokens for _, tokens in units]
        longest = _longest(run, indices)
        divided = split_batch(lengths, max_part_tokens(adapters, longest), self._decoder.parts)
        numbered = [
            (n, [i for unit in part for i in units[unit][0]]) for n, part in enumerate(divided)
        ]
        together = sum(lengths) + len(run.prefix) * len(numbered) <= max_tokens
        for some in [numbered] if together else [[one] for one in numbered]:
            part = RunPart(
                objective=run.objective([i for _, rows in some for i in rows], indices),
                matrices=matrices,
                dropout=adapters.dropout,
                recompute=needs_recomputing(adapters, longest),
            )
            for number, rows in some:
                _lay_out(part, run, rows, number=number, multiple=self._decoder.multiple)
            yield part


def _longest(run: TrainingRun, indices: Sequence[int]) -> int:
    return max(len(run.prefix_of(i)) + len(run.rows[i]) for i in indices)


def _units(run: TrainingRun, indices: Sequence[int]) -> list[tuple[list[int], int]]:
    """Return rows of a batch that stay together, since they share a prefix of theirs, and tokens.

    These are without the prefix that all rows share, which is read once a part in any case.
    """
    units: dict[Any, tuple[list[int], int]] = {}
    for i in indices:
        prefix = run.prefix_of(i)
        own = prefix if len(prefix) > len(run.prefix) else ()
        rows, tokens = units.get(own or i, ([], len(own)))
        units[own or i] = [*rows, i], tokens + len(run.rows[i])
    return list(units.values())


def _lay_out(
    part: RunPart, run: TrainingRun, indices: Sequence[int], *, number: int, multiple: int
) -> None:
    """Add the rows of one part of a batch, each prefix once before those that continue it.

    A row that no loss asks for fills them up, as new numbers of tokens need new kernels.
    """
    first, places = len(part.rows), dict[tuple[int, ...], int]({(): -1})
    for i in indices:
        prefix = run.prefix_of(i)
        if prefix not in places:
            places[prefix] = part.add(prefix)
        part.asked.append(part.add(run.rows[i], places[prefix]))
    tokens = sum(map(len, part.rows[first:]))
    if filler := -tokens % (multiple or 1 << (tokens >> 4 or 1).bit_length() - 1):
        part.add((0,) * filler)
    part.dropout_seeds.append((len(part.rows) - first, (run.seed, run.step, number)))


# Tokens of a pass of a reader, whose activations stay in the caches of a core; below half of it in
# all, all threads share one pass.
TOKENS_PER_PASS = 1024


class Reader:
    """Reads texts without padding, over the layers of a base with an adapter or without.

    An adapter is copied, so that later steps of its training change nothing. `weights` is the
    state of those that were packed for it alone.
    """

    def __init__(self, layers: PackedLayers, adapter: Any = None, *, weights: Any = None) -> None:
        self._layers, self.weights = layers, weights
        self._matrices: Mapping[str, LoraMatrices] = {}
        if adapter is not None:
            self._matrices = FlatAdapters(adapter, layers, copy=True).matrices()

    def states(self, rows: Sequence[Sequence[int]], prefixes: Sequence[int] = ()) -> torch.Tensor:
        """Return the last states (tokens, width) of rows, one after another.

        `prefixes` are the rows that they continue, -1 for none.
        """
        batch = ragged_batch(rows, "cpu", prefixes)
        run = {  # without a backward pass no gradient is filled
            name: RunAdapters(0, len(batch.ids), *matrices, *matrices, None)
            for name, matrices in self._matrices.items()
        }
        with torch.no_grad():
            hidden, layout = self._layers.embed(batch), self._layers.layout(batch)
            stream, _ = self._layers.forward(hidden, layout, [run], "nothing")
            return self._layers.final_norm(stream)

    def states_by_row(self, rows: Sequence[Sequence[int]]) -> list[torch.Tensor]:
        """Return the last states (tokens, width) of each row."""
        lengths, threads = [len(row) for row in rows], torch.get_num_threads()
        total = sum(lengths)
        share = 1 if 2 * total < TOKENS_PER_PASS else threads
        count = share * math.ceil(total / (share * TOKENS_PER_PASS))
        passes = list(batches_by_length(lengths, math.ceil(total / max(count, 1))))

        def read(some: list[int]) -> Sequence[torch.Tensor]:
            states = self.states([rows[i] for i in some])
            return torch.split(states, [lengths[i] for i in some])

        computed = share_threads(read, passes)
        found = dict(zip(chain(*passes), chain(*computed), strict=True))
        return [found[i] for i in range(len(rows))]


def reader_of(model: Adapted, adapted: bool = True) -> Reader | None:
    """Return what reads by a base as it is, or, if `adapted`, under an adapter or by a copy.

    Weights of a copy are packed once they have changed. None where the engine lacks the layers, or
    tokens do not attend both ways.
    """
    base = model.base
    if base.causal or not supports(base.model):
        return None
    adapter = model.adapter if adapted and hasattr(model.adapter, "peft_config") else None
    if not adapted or adapter is not None or model.adapter is base.model:
        return Reader(packed_layers(base, torch.float32), adapter)
    weights = state_of_weights(model.adapter)
    if model.reader is None or model.reader.weights != weights:
        model.reader = None  # before there is another one
        layers = Encoder(model.adapter, torch.float32, trains=False)
        model.reader = Reader(layers, weights=weights)
    return cast("Reader", model.reader)


def training_layers(base: Base) -> PackedLayers:
    """Return the base's packed layers in the number type of training."""
    return packed_layers(base, torch.bfloat16 if trains_in_bfloat16() else torch.float32)


def packed_layers(base: Base, dtype: torch.dtype) -> PackedLayers:
    """Return the base's packed layers, built once a process and number type."""
    if dtype not in base.engine_state:
        vocabulary = base.lm and base.lm.get_output_embeddings()
        kept = [*layers_of(base.model), *([vocabulary] if base.lm else [])]
        weights = sum(p.numel() for module in kept for p in module.parameters())
        # Packed, forward and backward each have a layout.
        each = dtype.itemsize * (2 if can_pack(dtype) else 1)
        check_room(each * weights, f"Tuning {type(base.model).__name__}")
        base.engine_state[dtype] = (
            Encoder(base.model, dtype)
            if is_encoder(base.model)
            else Decoder(base.model, dtype, vocabulary)
        )
    return base.engine_state[dtype]


# Most tokens of the parts of a batch that are passes at a time, where memory would allow more.
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


def forward_backward(decoder: PackedLayers, parts: Sequence[RunPart]) -> list[RunGradients]:
    """Return the gradients of each part; all parts share the products with frozen matrices."""
    rows: list[Sequence[int]] = []
    prefixes: list[int] = []
    for part in parts:
        prefixes += [prefix if prefix < 0 else len(rows) + prefix for prefix in part.prefixes]
        rows += part.rows
    batch = ragged_batch(rows, "cpu", prefixes)
    with torch.inference_mode():
        layout, runs = decoder.layout(batch), _adapters_of(decoder, parts)
        keeps = "stream" if any(part.recompute for part in parts) else "all"
        places = _places(batch, parts)
        every = torch.cat(places)
        # The last layer ends with what is read, if this is little: new numbers need new kernels.
        bare = all(part.matrices.keys() <= {"qkv"} for part in parts)
        if short := bare and 2 * len(every) < len(batch.ids):
            adapted = max(len(own.a) for part in parts for own in part.matrices.values())
            layout.ends[adapted - 1] = every
        stream, saved = decoder.forward(decoder.embed(batch), layout, runs, keeps)
        read = stream if short else stream.index_select(0, every)
        to_stream, heads = _head_gradients(decoder, places, read, parts)
        if not short:
            to_stream = torch.zeros_like(stream).index_add_(0, every, to_stream)
        decoder.backward(to_stream, saved)
    return [RunGradients(run, head) for run, head in zip(runs, heads, strict=True)]


def _adapters_of(decoder: PackedLayers, parts: Sequence[RunPart]) -> list[dict[str, RunAdapters]]:
    runs, start = [], 0
    for part in parts:
        stop, masks = start + sum(map(len, part.rows)), _dropout_masks(decoder, part)
        run = {}
        for name, own in part.matrices.items():
            to_a, to_b = map(torch.empty_like, own)
            run[name] = RunAdapters(start, stop, *own, to_a, to_b, masks.get(name))
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
    scale = torch.tensor(1 / (1 - part.dropout), dtype=decoder.dtype)
    bits = scale.view(torch.int16 if scale.itemsize == 2 else torch.int32).numpy()
    start = 0
    for rows, seed in part.dropout_seeds:
        tokens = sum(map(len, part.rows[start : start + rows]))
        start += rows
        generator = np.random.SFC64(np.random.SeedSequence(seed))
        for name, own in part.matrices.items():
            shape = len(own.a), tokens, decoder.shape(name)[0]
            size = math.prod(shape)
            random = generator.random_raw(-(-size // 4)).view(np.int16)[:size]
            keep = random >= round(65536 * part.dropout) - 32768
            # Multiplied as integers of the same bits: torch takes five times as long.
            mask = torch.from_numpy(np.multiply(keep, bits)).view(decoder.dtype)
            masks[name].append(mask.view(shape))
    return {name: some[0] if len(some) == 1 else torch.cat(some, 1) for name, some in masks.items()}


def _places(batch: RaggedBatch, parts: Sequence[RunPart]) -> list[torch.Tensor]:
    places, start = [], 0
    for part in parts:
        places.append(part.objective.places(batch.starts[[start + row for row in part.asked]]))
        start += len(part.rows)
    return places


@torch.inference_mode(False)
def _head_gradients(
    decoder: PackedLayers,
    places: Sequence[torch.Tensor],
    stream: torch.Tensor,
    parts: Sequence[RunPart],
) -> tuple[torch.Tensor, list[tuple[torch.Tensor, ...]]]:
    """Return the gradient of the stream at the places, and those of each part's head."""
    stream = stream.clone().requires_grad_()
    states = decoder.final_norm(stream)
    pieces = torch.split(states.detach(), [len(some) for some in places])
    gradients = [
        part.objective.gradients(piece, decoder.vocabulary)
        for part, piece in zip(parts, pieces, strict=True)
    ]
    to_states = torch.cat([to_piece for to_piece, _ in gradients])
    (to_stream,) = torch.autograd.grad(states, stream, to_states)
    return to_stream, [head for _, head in gradients]


def max_part_tokens(adapters: FlatAdapters, longest: int) -> int:
    """Return the most tokens of a part of a batch whose longest row has `longest`.

    It depends on the run's own adapters only, so that a run's parts are the same whatever other
    runs are trained with it.
    """
    most = (MAX_PART_TOKENS >> halvings("cpu")) // adapters.decoder.parts
    return max(1, min(most, tokens_in_memory(adapters, longest)))


def needs_recomputing(adapters: FlatAdapters, longest: int) -> bool:
    """Return whether a row of `longest` tokens leaves more activations than memory holds.

    Unless memory ran out, there is room for a row of twice the limit of a pass.
    """
    return longest > (1 if halvings("cpu") else 2) * tokens_in_memory(adapters, longest)


def tokens_in_memory(adapters: FlatAdapters, longest: int) -> int:
    """Return the tokens of such rows whose activations fit into the memory of a pass."""
    return max(1, limits_of("cpu").activation_bytes // token_bytes(adapters, longest))


def token_bytes(adapters: FlatAdapters, longest: int) -> int:
    """Return the bytes that a pass saves for backward per token of rows of `longest` tokens."""
    layers = adapters.decoder
    # Of adapters their inputs, masks and masked inputs with dropout, and what A makes of them.
    copies = 2 if adapters.dropout else 1
    saved = sum(copies * layers.shape(name)[0] + n for name, n in adapters.ranks.items())
    return len(adapters.layers) * (layers.saved_bytes(longest) + layers.dtype.itemsize * saved)


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
    return split_batch(sizes, max_tokens, workers)
