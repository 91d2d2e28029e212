"""The side of choose in lora.py: time steps of some trials, or train them and measure accuracy.

python benchmarks/lora_choose.py JOB.json     prints a line of JSON
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from statistics import median
from threading import get_ident
from time import perf_counter, process_time
from typing import Any

import torch

from choose.engines.environment_settings import cores
from choose.engines.hardware.device_and_dtype import trains_in_bfloat16
from choose.engines.lora.batching import PARTS_PER_BATCH, tokenise
from choose.engines.lora.classifier import AdaptedModel, ClassifierRun, untrained_model
from choose.engines.lora.fit import train_together, training_step
from choose.engines.lora.fused.frozen_layers import PackedLayers
from choose.engines.lora.fused.linear_layers import FlatAdapters
from choose.engines.lora.fused.training_step import packed_layers, token_bytes
from choose.engines.lora.model import AdapterSpec, load_base, seeded
from choose.engines.lora.training_run import Schedule


def main(job: dict[str, Any]) -> dict[str, Any]:
    """Return seconds a step where the job names a number of steps, else accuracies."""
    runs = [_training_run(job, seed) for seed in job["seeds"]]
    if "roofline" in job:
        return _roofline(runs, job["steps"])
    if job["steps"]:
        return {"step_seconds": _timed(runs, job["steps"])}
    start = perf_counter()
    train_together(runs)
    seconds = perf_counter() - start
    accuracies = [_accuracy(run.model, job) for run in runs]
    return {"fit_seconds": seconds, "accuracy": accuracies}


def _training_run(job: dict[str, Any], seed: int) -> ClassifierRun:
    base = load_base(job["model"])
    rows = tokenise(base.tokenizer, job["texts"], job["max_tokens"]).ids
    spec = AdapterSpec(job["rank"], "attention", job["dropout"])
    with seeded(seed, base.device):
        model = untrained_model(base, spec, len(job["labels"]), job["model"])
    schedule = Schedule(job["plan_steps"], job["batch"], job["rate"], 0)
    return ClassifierRun(model, rows, job["targets"], schedule, seed)


def _timed(runs: list[ClassifierRun], steps: int) -> float:
    """Return the median seconds of a step of all trials together."""
    ends = []
    with training_step(runs) as step:
        for _ in range(steps + 2):  # the first is the warm-up
            step([(run, run.next_batch()) for run in runs])
            for run in runs:
                run.apply_gradients()
            ends.append(perf_counter())
    return median(after - before for before, after in pairwise(ends[1:]))


def _roofline(runs: list[ClassifierRun], steps: int) -> dict[str, Any]:
    """Return the CPU seconds of a step of all trials, and the least that this machine could take.

    The products with frozen matrices are done again alone, in their order, at their shapes and on
    as many threads, so that their weights come from memory as in training. Beside them, what a
    step saves for backward is written once and read once, as fast as memory is copied. CPU seconds
    are of all threads; other programs change them less than they do the clock.
    """
    taken, products, tokens = [], [], []
    with training_step(runs) as step, ThreadPoolExecutor(PARTS_PER_BATCH) as pool:
        for n in range(steps + 1):  # the first is the warm-up
            batches = [(run, run.next_batch()) for run in runs]
            with _recorded_passes() as recorded:
                start = process_time()
                step(batches)
                for run in runs:
                    run.apply_gradients()
                seconds = process_time() - start
            again = []
            for _ in range(2):
                start = process_time()
                list(pool.map(_multiply_again, recorded.values()))
                again.append(process_time() - start)
            if n:
                taken.append(seconds)
                products.append(min(again))
                tokens.append(sum(len(run.rows[i]) for run, rows in batches for i in rows))
    base = runs[0].model.base
    adapters = FlatAdapters(runs[0].model.adapter, packed_layers(base, _dtype()))
    longest = max(len(row) for row in runs[0].rows)
    saved = sum(tokens) * token_bytes(adapters, longest)
    matrices = sum(
        one.to_outputs.numel()
        for layer in adapters.decoder.layers
        for one in layer.products.values()
    )
    return {
        "tokens": sum(tokens) / steps,
        "step": sum(taken) / steps,
        "products": sum(products) / steps,
        "gflops": 4 * sum(tokens) * matrices / sum(products) / 1e9,
        "memory": 2 * saved / _bandwidth() / steps,
    }


@contextmanager
def _recorded_passes() -> Iterator[dict[int, list[tuple[PackedLayers, int, int]]]]:
    """Record each pass inside the block, by thread: its tokens, and those of the last layer."""
    recorded: dict[int, list[tuple[PackedLayers, int, int]]] = {}
    plain = PackedLayers.forward

    def forward(own: PackedLayers, hidden: torch.Tensor, *more: Any) -> Any:
        stream, saved = plain(own, hidden, *more)
        recorded.setdefault(get_ident(), []).append((own, len(hidden), len(stream)))
        return stream, saved

    PackedLayers.forward = forward  # type: ignore[assignment, method-assign]
    try:
        yield recorded
    finally:
        PackedLayers.forward = plain  # type: ignore[method-assign]


def _multiply_again(passes: list[tuple[PackedLayers, int, int]]) -> None:
    torch.set_num_threads(max(1, cores() // PARTS_PER_BATCH))
    with torch.no_grad():
        for decoder, tokens, last in passes:
            inputs: dict[tuple[int, int], torch.Tensor] = {}

            def ones(rows: int, width: int, inputs: Any = inputs) -> torch.Tensor:
                known: torch.Tensor = inputs.setdefault(
                    (rows, width), torch.ones(rows, width, dtype=_dtype())
                )
                return known

            layers = list(enumerate(decoder.layers))
            for index, layer in layers:
                for name, one in layer.products.items():
                    ends = index == len(layers) - 1 and name != "qkv"
                    one.forward(ones(last if ends else tokens, one.to_outputs.shape[1]))
            for index, layer in reversed(layers):
                for name, one in reversed(layer.products.items()):
                    ends = index == len(layers) - 1 and name != "qkv"
                    if index or name != "qkv":  # nothing learns below the first layer
                        one.backward(ones(last if ends else tokens, one.to_outputs.shape[0]))


def _dtype() -> torch.dtype:
    return torch.bfloat16 if trains_in_bfloat16() else torch.float32


def _bandwidth() -> float:
    """Return the bytes that a thread reads and writes in a CPU second, copying from memory."""
    one, other = torch.ones(1 << 25), torch.ones(1 << 25)
    before, seconds = torch.get_num_threads(), []
    torch.set_num_threads(1)
    for _ in range(5):
        start = process_time()
        other.copy_(one)
        seconds.append(process_time() - start)
    torch.set_num_threads(before)
    return 2 * one.nbytes / min(seconds)


def _accuracy(model: AdaptedModel, job: dict[str, Any]) -> float:
    rows = tokenise(model.base.tokenizer, job["test_texts"], 128).ids
    predicted, targets = model.predict_logits(rows).argmax(1).tolist(), job["test_targets"]
    return sum(a == b for a, b in zip(predicted, targets, strict=True)) / len(targets)


if __name__ == "__main__":
    print(json.dumps(main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))))
