"""The fused engine: runs over one base share packed passes. The folder's only public module."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain, islice
from typing import Any, TypeVar

import torch

from choose.models.environment_settings import cores
from choose.models.hardware.compute_settings import trains_in_bfloat16
from choose.models.hardware.memory import limits_of
from choose.models.hardware.packed_products import can_pack
from choose.models.hardware.placement import check_room
from choose.models.lora.batching import PARTS_PER_BATCH, ragged_batch, split_batch
from choose.models.lora.fused.forward_backward import (
    RunGradients,
    RunPart,
    forward_backward,
    group_into_passes,
    max_part_tokens,
    needs_recomputing,
    tokens_in_memory,
)
from choose.models.lora.fused.linear_layers import (
    FlatAdapters,
    LoraMatrices,
    RunAdapters,
    layers_of,
)
from choose.models.lora.fused.packed_layers import (
    Decoder,
    Encoder,
    PackedLayers,
    is_encoder,
)
from choose.models.lora.model import Base, is_causal
from choose.models.lora.training_run import RunBatches, Step, TrainingRun

T = TypeVar("T")


def supports(model: Any) -> bool:
    """Return whether the engine computes models of this architecture and configuration.

    Adapters over such a base are trained together: they share its products.
    """
    config = model.config
    return is_encoder(model) or (
        type(model).__name__ in ("LlamaModel", "MistralModel", "Qwen2Model")
        and getattr(config, "hidden_act", None) == "silu"
        and not getattr(config, "attention_dropout", 0.0)
        and is_causal(config)
        and not _has_sliding_window(config)
    )


def _has_sliding_window(config: Any) -> bool:
    kinds = getattr(config, "layer_types", None)
    if kinds is not None:
        return any(kind != "full_attention" for kind in kinds)
    return getattr(config, "sliding_window", None) is not None


@contextmanager
def training_step(runs: Sequence[TrainingRun]) -> Iterator[Step]:
    """Yield the function that computes one step's gradients for runs over one base."""
    engine = FusedEngine(runs)
    precision = torch.get_float32_matmul_precision()
    if runs[0].model.base.device == "cuda" and trains_in_bfloat16():
        # Attention is in float32: with a mantissa as long as bfloat16's it is several times faster.
        torch.set_float32_matmul_precision("high")
    try:
        with ThreadPoolExecutor(engine.workers) as pool:
            yield lambda batches: engine.step(batches, pool)
    finally:
        torch.set_num_threads(engine.threads)
        torch.set_float32_matmul_precision(precision)
        engine.detach_memory()


class FusedEngine:
    """Packed passes over parts of batches; several runs share the products of one pass."""

    def __init__(self, runs: Sequence[TrainingRun]) -> None:
        base = runs[0].model.base
        dtype = torch.bfloat16 if trains_in_bfloat16() else torch.float32
        self._decoder = packed_layers(base, dtype)
        self._device, self._steps = base.device, base.steps
        # Most passes at a time; the threads of the present step, and those of a pass.
        self.workers = min(PARTS_PER_BATCH, cores()) if base.device == "cpu" else 1
        self.threads = self._each = 1
        self._adapters, self._runs = {}, runs
        for run in runs:
            adapters = FlatAdapters(run.model.adapter, self._decoder)
            self._adapters[id(run)] = adapters
            run.create_optimiser([adapters.flat])

    def _spread(
        self, pool: ThreadPoolExecutor, work: Callable[..., T], *of: Sequence[Any]
    ) -> list[T]:
        """Do some work for each, several at a time where there are threads and work for it."""
        workers = max(1, min(self.workers, self.threads, len(of[0])))
        self._each = self.threads // workers
        return list((pool.map if workers > 1 else map)(work, *of))

    def _set_threads(self, count: int) -> None:
        if self._device == "cpu":
            torch.set_num_threads(count)

    def detach_memory(self) -> None:
        """Leave the PEFT models as if they had been trained on their own."""
        for adapters in self._adapters.values():
            adapters.detach_memory()

    def step(self, batches: RunBatches, pool: ThreadPoolExecutor) -> None:
        tokens = sum(len(run.rows[i]) for run, indices in batches for i in indices)
        with self._steps[f"training {len(batches)}"].step(tokens) as self.threads:
            self._step(batches, pool)

    def _step(self, batches: RunBatches, pool: ThreadPoolExecutor) -> None:
        # What is done here is little, and threads that wait for more of it take the workers'.
        self._set_threads(1)
        single = len(batches) == 1
        max_tokens = min(
            limits_of(self._device).training_tokens,
            *(self._tokens_in_memory(*each) for each in batches),
        )
        limit = 0 if single else max_tokens
        divided = self._spread(pool, lambda each: self._divided(each[0], each[1], limit), batches)
        parts = [part for some in divided for part in some]
        passes = group_into_passes(parts, len(batches), self.workers, max_tokens)
        computed = self._spread(pool, self._pass, [[parts[n] for n in some] for some in passes])
        found = dict(zip(chain(*passes), chain(*computed), strict=True))
        gradients = (found[n] for n in range(len(parts)))
        owned = [list(islice(gradients, len(some))) for some in divided]
        self._spread(pool, self._set_gradients, [run for run, _ in batches], owned)

    def _tokens_in_memory(self, run: TrainingRun, indices: list[int]) -> int:
        longest = max(len(run.prefix_of(i)) + len(run.rows[i]) for i in indices)
        return tokens_in_memory(self._adapters[id(run)], longest, self._device)

    def _divided(self, run: TrainingRun, indices: list[int], max_tokens: int) -> list[RunPart]:
        self._set_threads(1)
        return list(self._parts(run, indices, max_tokens))

    def _pass(self, parts: list[RunPart]) -> list[RunGradients]:
        self._set_threads(self._each)
        return forward_backward(self._decoder, parts, self._device)

    def _set_gradients(self, run: TrainingRun, gradients: Sequence[RunGradients]) -> None:
        self._adapters[id(run)].set_gradients([each.adapters for each in gradients])
        for index, parameter in enumerate(run.model.head_parameters.values()):
            first, *others = (each.head[index] for each in gradients)
            parameter.grad = sum(others, first)

    def _parts(self, run: TrainingRun, indices: list[int], max_tokens: int) -> Iterator[RunPart]:
        """Yield a batch's parts, as one if it has at most `max_tokens`."""
        adapters = self._adapters[id(run)]
        matrices = adapters.matrices()
        units = _units(run, indices)
        lengths = [_unit_length(run, unit) for unit in units]
        longest = max(len(run.prefix_of(i)) + len(run.rows[i]) for i in indices)
        largest = max_part_tokens(adapters, longest, self._device)
        # A card is busiest with one.
        least = self._decoder.parts if self._device == "cpu" else 1
        numbered = [
            (n, [i for unit in part for i in units[unit]])
            for n, part in enumerate(split_batch(lengths, largest, least))
        ]
        together = sum(lengths) + len(run.prefix) * len(numbered) <= max_tokens
        for some in [numbered] if together else [[one] for one in numbered]:
            part = RunPart(
                objective=run.objective([i for _, rows in some for i in rows], indices),
                matrices=matrices,
                dropout=adapters.dropout,
                recompute=needs_recomputing(adapters, longest, self._device),
            )
            for number, rows in some:
                _lay_out(part, run, rows, number=number, multiple=self._decoder.multiple)
            yield part


def _units(run: TrainingRun, indices: Sequence[int]) -> list[list[int]]:
    """Return the rows of a batch in units that stay together: those that share a prefix of theirs.

    A prefix that all rows share is read once a part in any case.
    """
    units: dict[Any, list[int]] = {}
    for i in indices:
        prefix = run.prefix_of(i)
        units.setdefault(prefix if len(prefix) > len(run.prefix) else i, []).append(i)
    return list(units.values())


def _unit_length(run: TrainingRun, unit: Sequence[int]) -> int:
    """Return the tokens of a unit beside the prefix that all rows share."""
    own = len(run.prefix_of(unit[0]))
    shared = own if own > len(run.prefix) else 0
    return shared + sum(len(run.rows[i]) for i in unit)


def _lay_out(
    part: RunPart, run: TrainingRun, indices: Sequence[int], *, number: int, multiple: int
) -> None:
    """Add the rows of one part of a batch, each prefix once before those that continue it.

    A row that no loss asks for fills them up to a multiple of tokens.
    """
    first, places = len(part.rows), dict[tuple[int, ...], int]({(): -1})
    for i in indices:
        prefix = run.prefix_of(i)
        if prefix not in places:
            places[prefix] = part.add(prefix)
        part.asked.append(part.add(run.rows[i], places[prefix]))
    if filler := -sum(map(len, part.rows[first:])) % multiple:
        part.add((0,) * filler)
    part.dropout_seeds.append((len(part.rows) - first, (run.seed, run.step, number)))


class Reader:
    """Reads texts without padding, over a base with an adapter, or over the bare base, in float32.

    An adapter is copied, so that later steps of its training change nothing.
    """

    def __init__(self, base: Base, adapter: Any = None) -> None:
        self._layers, self._device = packed_layers(base, torch.float32), base.device
        self._matrices: Mapping[str, LoraMatrices] = {}
        if adapter is not None:
            self._matrices = FlatAdapters(adapter, self._layers, copy=True).matrices()

    def states(self, rows: Sequence[Sequence[int]]) -> torch.Tensor:
        """Return the last states (tokens, width) of rows, one after another."""
        batch = ragged_batch(rows, self._device)
        run = {  # without a backward pass no gradient is filled
            name: RunAdapters(0, len(batch.ids), a, b, a, b, None)
            for name, (a, b) in self._matrices.items()
        }
        with torch.no_grad():
            hidden, layout = self._layers.embed(batch), self._layers.layout(batch)
            # Nothing is kept for a backward pass.
            stream, _ = self._layers.forward(hidden, layout, [run], recompute=True)
            return self._layers.final_norm(stream)


def packed_layers(base: Base, dtype: torch.dtype) -> PackedLayers:
    """Return the base's packed layers, built once a process and number type."""
    if dtype not in base.engine_state:
        vocabulary = base.lm and base.lm.get_output_embeddings()
        if base.device == "cpu":
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
