"""Whether a study's models fit this machine, how long they take, and what a rented card would.

Nothing is run: memory follows from a model's size, time from the products that its tokens take (two
operations a weight and token, four in training over frozen weights) and from a processor's or a
card's speed. A card's is its published peak, of which a share is assumed.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from choose.data.scenarios import Pools
from choose.errors import ChooseError
from choose.models.environment_settings import cores, device_setting
from choose.models.hardware.compute_settings import known_speed
from choose.models.hardware.memory import free_bytes, free_machine_bytes, limits_of
from choose.models.lora.classifier import SET_EPOCHS, schedule_for
from choose.models.lora.objectives import answer_schedule
from choose.models.weights.model_size import ModelSize, size_of_spec
from choose.models.weights.spec import endpoint_name, without_bits
from choose.schema.plan import LARGE_MODEL, Job, ModelFit
from choose.study.spending_forecast import tokens_read
from choose.tasks.multilabel import Multilabel
from choose.types import Candidate

# Share of the peak that is assumed where nothing was measured.
ASSUMED_SHARE = 0.3

# Tokens of a pass that prompts, and of a long text of a training step; the rank of an adapter does
# not matter beside these.
PASS_TOKENS, STEP_TOKENS, STEP_LONGEST = 8192, 1024, 512

# What the libraries themselves take on a card.
LIBRARY_BYTES = 1_000_000_000


class Card(NamedTuple):
    """A usual card: its memory in GB and its peak in bfloat16 without sparsity, as published."""

    gb: int
    flops: float


# RTX A4000, L4, L40S, A100 and H200. A T4 has 16 GB too, but does not compute bfloat16.
CARDS = (Card(16, 77e12), Card(24, 121e12), Card(48, 362e12), Card(80, 312e12), Card(141, 989e12))


def model_fits(
    jobs: Sequence[Job], candidates: Sequence[Candidate], pools: Pools, usd_per_hour: float | None
) -> tuple[ModelFit, ...]:
    """Return what is known of each local language model of a study, in the candidates' order."""
    users: dict[tuple[str, bool], list[Candidate]] = {}
    for candidate in candidates:
        for key in ("base", "model"):
            spec = candidate.params.get(key)
            if isinstance(spec, str) and endpoint_name(spec) is None:
                users.setdefault((spec, key == "base"), []).append(candidate)
    return tuple(
        _fit(spec, tuned, own, jobs, pools, usd_per_hour) for (spec, tuned), own in users.items()
    )


def _fit(
    spec: str,
    tuned: bool,
    users: Sequence[Candidate],
    jobs: Sequence[Job],
    pools: Pools,
    usd_per_hour: float | None,
) -> ModelFit:
    names = tuple(candidate.name for candidate in users)
    fit = ModelFit(model=spec, candidates=names, tuned=tuned)
    try:
        size = size_of_spec(spec)
    except ChooseError as error:
        return replace(fit, why_not=str(error))
    four_bit, card = without_bits(spec)[1], gpu_here()
    itemsize, packed = _itemsizes(size, tuned, card)
    needed = needed_bytes(size, tuned, itemsize, four_bit, card, packed)
    own = [job for job in jobs if job.trial.candidate in names]
    work = size.parameters * operations(own, pools, tuned)
    on_card = needed_bytes(size, tuned, 2, four_bit, True)
    rented = next((one for one in CARDS if on_card <= 0.92e9 * one.gb), None)
    seconds = work / (ASSUMED_SHARE * rented.flops) if rented else None
    return replace(
        fit,
        parameters=size.parameters,
        needed=needed,
        free=free_here(card),
        four_bit=needed_bytes(size, tuned, itemsize, True, card, packed),
        seconds=None if card or (speed := speed_here()) is None else work / speed,
        card_gb=rented.gb if rented else None,
        card_seconds=seconds,
        card_usd=None if seconds is None or usd_per_hour is None else seconds / 3600 * usd_per_hour,
    )


def needed_bytes(
    size: ModelSize, tuned: bool, itemsize: int, four_bit: bool, card: bool, packed: int = 4
) -> int:
    """Return the bytes that a model takes: weights, and a pass or a training step.

    A CPU holds the frozen matrices of a tuned model in a layout of its own for each direction, of
    `packed` bytes a weight.
    """
    weights = size.bytes(itemsize, four_bit)
    if tuned and not card and not four_bit:
        weights += 2 * size.linear * packed
    limits = limits_of("cuda" if card else "cpu")
    if tuned:
        step = size.step_bytes(STEP_TOKENS, STEP_LONGEST, itemsize)
        work = min(step, max(limits.activation_bytes, step // 2))
    else:
        logits = min(limits.scoring_bytes, size.vocabulary * PASS_TOKENS * itemsize)
        work = size.cache_bytes(PASS_TOKENS, itemsize) + logits
    return weights + work + (LIBRARY_BYTES if card else 0)


def operations(jobs: Sequence[Job], pools: Pools, tuned: bool) -> float:
    """Return the operations for each weight: two a token that is read, four a token of training."""
    return 2 * tokens_read(jobs, pools) + (4 * sum(_trained_tokens(jobs, pools)) if tuned else 0)


def _trained_tokens(jobs: Sequence[Job], pools: Pools) -> Iterator[float]:
    task = pools.dataset.task
    for job in jobs:
        pool, params = pools.of(job.trial).pool, job.trial.params
        rate, epochs = 1e-3, params.get("epochs")
        most = int(params.get("max_tokens") or STEP_LONGEST)
        if isinstance(task, Multilabel):
            schedule = schedule_for(len(pool), len(task.choices), rate, epochs, usual=SET_EPOCHS)
        elif task.labels:
            schedule = schedule_for(len(pool), len(task.labels), rate, epochs)
        else:
            schedule = answer_schedule(len(pool), rate, epochs)
        mean = sum(min(most, len(e.text) / 4 + 1) for e in pool) / max(1, len(pool))
        yield schedule.steps * schedule.batch_size * mean


def gpu_here() -> bool:
    """Return whether models run on a card here; torch is only asked where there may be one."""
    setting = device_setting()
    if setting == "cpu" or not (setting or shutil.which("nvidia-smi") or sys.platform == "darwin"):
        return False
    from choose.models.hardware.compute_settings import device

    return device() != "cpu"


def free_here(card: bool) -> int | None:
    """Return the bytes that are free for models: of the cards together, or of the machine."""
    if not card:
        return free_machine_bytes()
    from choose.models.hardware.compute_settings import device

    return sum(free_bytes(device())) or None


def speed_here() -> float | None:
    """Return about how many operations a second this processor does; None if never measured."""
    speed = known_speed()
    return None if speed is None else ASSUMED_SHARE * cores() * speed


def _itemsizes(size: ModelSize, tuned: bool, card: bool) -> tuple[int, int]:
    """Return the bytes of a weight as it is held, and as a CPU packs it for training.

    Prompted models are held in what is fast here; a CPU's bases are in float32, and packed in
    bfloat16 where it has products for that.
    """
    if size.parameters < LARGE_MODEL:  # fits either way, and asking loads torch
        return (2 if card else 4), 4
    from choose.models.hardware.compute_settings import base_dtype, dtype, trains_in_bfloat16

    held = base_dtype() if tuned else dtype()
    return held.itemsize, 2 if trains_in_bfloat16("cpu") else 4
