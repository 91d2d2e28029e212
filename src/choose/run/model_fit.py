"""Whether a study's models fit the memory of this machine, told by their sizes; nothing is run."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace

from choose.engines.environment_settings import device_setting
from choose.engines.hardware.memory import free_bytes, free_machine_bytes, limits_of
from choose.engines.weights.model_size import ModelSize, size_of_spec
from choose.engines.weights.spec import endpoint_name
from choose.errors import ChooseError
from choose.schema.plan import LARGE_MODEL, ModelFit
from choose.types import Candidate

# Tokens of a pass that prompts, and of a long text of a training step; the rank of an adapter does
# not matter beside these.
PASS_TOKENS, STEP_TOKENS, STEP_LONGEST = 8192, 1024, 512

# What the libraries themselves take on a card.
LIBRARY_BYTES = 1_000_000_000


def model_fits(candidates: Sequence[Candidate]) -> tuple[ModelFit, ...]:
    """Return what is known of each local language model of a study, in the candidates' order."""
    users: dict[tuple[str, bool], list[str]] = {}
    for candidate in candidates:
        for key in ("base", "model"):
            spec = candidate.params.get(key)
            if isinstance(spec, str) and endpoint_name(spec) is None:
                users.setdefault((spec, key == "base"), []).append(candidate.name)
    return tuple(_fit(spec, tuned, tuple(names)) for (spec, tuned), names in users.items())


def _fit(spec: str, tuned: bool, names: tuple[str, ...]) -> ModelFit:
    fit = ModelFit(model=spec, candidates=names, tuned=tuned)
    try:
        size = size_of_spec(spec)
    except ChooseError as error:
        return replace(fit, why_not=str(error))
    card = gpu_here()
    itemsize, packed = _itemsizes(size, tuned, card)
    needed = needed_bytes(size, tuned, itemsize=itemsize, card=card, packed=packed)
    return replace(fit, parameters=size.parameters, needed=needed, free=free_here(card))


def needed_bytes(
    size: ModelSize, tuned: bool, *, itemsize: int, card: bool, packed: int = 4
) -> int:
    """Return the bytes that a model takes: weights, and a pass or a training step.

    A CPU holds the frozen matrices of a tuned model in a layout of its own for each direction, of
    `packed` bytes a weight.
    """
    weights = size.parameters * itemsize
    if tuned and not card:
        weights += 2 * size.linear * packed
    limits = limits_of("cuda" if card else "cpu")
    if tuned:
        step = size.step_bytes(STEP_TOKENS, STEP_LONGEST, itemsize)
        work = min(step, max(limits.activation_bytes, step // 2))
    else:
        logits = min(limits.scoring_bytes, size.vocabulary * PASS_TOKENS * itemsize)
        work = size.cache_bytes(PASS_TOKENS, itemsize) + logits
    return weights + work + (LIBRARY_BYTES if card else 0)


def gpu_here() -> bool:
    """Return whether models run on a card here; torch is only asked where there may be one."""
    setting = device_setting()
    if setting == "cpu" or not (setting or shutil.which("nvidia-smi") or sys.platform == "darwin"):
        return False
    from choose.engines.hardware.compute_settings import device

    return device() != "cpu"


def free_here(card: bool) -> int | None:
    """Return the bytes that are free for models: of the card, or of the machine."""
    if not card:
        return free_machine_bytes()
    from choose.engines.hardware.compute_settings import device

    return free_bytes(device())


def _itemsizes(size: ModelSize, tuned: bool, card: bool) -> tuple[int, int]:
    """Return the bytes of a weight as it is held, and as a CPU packs it for training.

    Prompted models are held in what is fast here; a CPU's bases are in float32, and packed in
    bfloat16 where it has products for that.
    """
    if size.parameters < LARGE_MODEL:  # fits either way, and asking loads torch
        return (2 if card else 4), 4
    from choose.engines.hardware.compute_settings import base_dtype, dtype, trains_in_bfloat16

    held = base_dtype() if tuned else dtype()
    return held.itemsize, 2 if trains_in_bfloat16() else 4
