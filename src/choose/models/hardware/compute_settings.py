"""The device and the number type that models compute with."""

from __future__ import annotations

import io
import json
import os
import platform
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from choose.errors import ModelError
from choose.files import digest
from choose.models.environment_settings import (
    DTYPES,
    cache_dir,
    check_environment,
    device_setting,
    dtype_setting,
    processor,
)
from choose.models.hardware.timed_steps import set_spare_threads

if TYPE_CHECKING:
    import torch


@cache
def device() -> str:
    """Return the accelerator to use, or ``cpu``; CHOOSE_DEVICE overrides the choice.

    Raises:
        ModelError: if CHOOSE_DEVICE names one that torch does not find.
    """
    import torch

    found = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    here = [name for name, is_here in found.items() if is_here] + ["cpu"]
    wanted = device_setting() or here[0]
    if wanted not in here:
        raise ModelError(
            f"CHOOSE_DEVICE is {wanted!r}, and torch {torch.__version__} finds no such GPU; here "
            f"it can be {' or '.join(here)}. Leave it unset, or install the driver and a torch "
            "that is built for the card."
        )
    plain = torch.backends.cpu.get_cpu_capability() == "DEFAULT"
    if wanted == "cpu" and plain and platform.machine() in ("x86_64", "AMD64"):
        sys.stderr.write("This processor has no AVX2, so models take several times as long.\n")
    return wanted


def check_compute() -> None:
    """Refuse settings in variables that cannot be computed with, before anything is run.

    Raises:
        ModelError: if one has another value than it can have, or names a GPU that is not here.
    """
    check_environment()
    if device_setting() is not None:
        device()


def device_name(device: torch.device) -> str:
    """Return a name for cache keys: an accelerator with its model, since bits and costs differ.

    The kind of processor is part of every key already.
    """
    import torch

    model = f" {torch.cuda.get_device_name(device)}" if device.type == "cuda" else ""
    return f"{device}{model}"


@cache
def dtype() -> torch.dtype:
    """Return the faster of float32 and bfloat16 on this machine, as measured once.

    CHOOSE_DTYPE overrides the measurement.

    Raises:
        ModelError: if CHOOSE_DTYPE names another type.
    """
    import torch

    if (setting := dtype_setting()) is not None:
        return getattr(torch, setting)
    fast = bfloat16_is_fast() if device() == "cpu" else has_bfloat16()
    return torch.bfloat16 if fast else torch.float32


def has_bfloat16() -> bool:
    """Return whether the hardware that models run on computes in bfloat16."""
    import torch

    if device() == "cuda":
        # Older cards emulate bfloat16 in float32.
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device() == "mps":
        return torch.backends.mps.is_macos_or_newer(14, 0)
    return multiplies_bfloat16()


def base_dtype() -> torch.dtype:
    """Return the number type of the weights that adapters are trained over.

    On a CPU it is float32: labels are predicted in it, and what trains in bfloat16 casts a copy.
    """
    import torch

    return torch.float32 if device() == "cpu" else dtype()


def trains_in_bfloat16(device: str) -> bool:
    """Return whether adapters are trained in bfloat16; decided by hardware, so that it repeats."""
    import torch

    if device != "cpu" or dtype_setting() is not None:
        return dtype() is torch.bfloat16
    return multiplies_bfloat16()


@contextmanager
def quiet_loading() -> Iterator[None]:
    """Silence the loaders' own bars and warnings."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        # Bars that cannot be switched off are discarded.
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)


def megabytes(tensors: Iterable[torch.Tensor]) -> float:
    return sum(t.numel() * t.element_size() for t in tensors) / 1e6


# Where the two are near, float32 is used, so that little depends on the draw of a measurement.
MIN_SPEEDUP = 1.3

# The layers that both number types are timed on, those of a language model of 135 million weights.
LAYERS, WIDTH, INNER, HEADS, TOKENS = 2, 576, 1536, 9, 512


def bfloat16_is_fast() -> bool:
    """Return whether layers of a language model are clearly faster in bfloat16 here.

    Without products in hardware they are up to 500 times slower, and nothing is measured. The
    result is cached on disk, so that load does not change a study's number type.
    """
    if not multiplies_bfloat16():
        return False
    file = cache_dir() / f"machine-{_machine_identity()}.json"
    seconds = _read_speeds(file)
    if seconds is None:
        seconds = time_layers()
        _write_speeds(file, seconds)
    return MIN_SPEEDUP * seconds["bfloat16"] < seconds["float32"]


def multiplies_bfloat16() -> bool:
    """Return whether this processor has instructions for products in bfloat16."""
    import torch

    if torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported():
        return True
    with suppress(OSError):  # ARM
        return " bf16" in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    return False


def _machine_identity() -> str:
    """Return a digest of processor and torch: another of either is measured again."""
    return digest([processor(), os.cpu_count(), version("torch")])[:12]


def _read_speeds(file: Path) -> dict[str, float] | None:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return {name: float(content[name]) for name in ("float32", "bfloat16")}
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _write_speeds(file: Path, seconds: dict[str, float]) -> None:
    scratch = file.with_name(f"{file.name}.{os.getpid()}")
    with suppress(OSError):  # without a cache the next process measures again, for a second
        file.parent.mkdir(parents=True, exist_ok=True)
        scratch.write_text(json.dumps(seconds), encoding="utf-8")
        scratch.replace(file)


def time_layers() -> dict[str, float]:
    """Return seconds of a pass through some layers by number type, the best of a few each.

    All cores but one compute, since another program may keep one busy.
    """
    import torch
    from transformers import LlamaConfig, LlamaModel

    from choose.models.hardware.packed_products import packed_products

    config = LlamaConfig(
        vocab_size=64,
        hidden_size=WIDTH,
        intermediate_size=INNER,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS // 3,
    )
    set_spare_threads()
    ids, times = torch.zeros(1, TOKENS, dtype=torch.long), dict[str, list[float]]()
    with torch.random.fork_rng(), torch.inference_mode():
        models = {name: LlamaModel(config).to(getattr(torch, name)).eval() for name in DTYPES}
        for _ in range(4):  # the first ones warm up
            for name, model in models.items():
                start = perf_counter()
                with packed_products(model):
                    model(input_ids=ids, use_cache=False)
                times.setdefault(name, []).append(perf_counter() - start)
    return {name: min(some) for name, some in times.items()}
