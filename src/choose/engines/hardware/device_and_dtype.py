"""The device and the number type that models compute with."""

from __future__ import annotations

import io
import platform
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from choose.engines.environment_settings import cache_dir, setting_of, threads_setting
from choose.errors import ModelError

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
    wanted = setting_of("CHOOSE_DEVICE") or here[0]
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
    threads_setting()
    setting_of("CHOOSE_DTYPE")
    cache_dir()
    if setting_of("CHOOSE_DEVICE") is not None:
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
    """Return the number type of models: bfloat16 where the hardware computes in it, else float32.

    CHOOSE_DTYPE overrides the choice.

    Raises:
        ModelError: if CHOOSE_DTYPE names another type.
    """
    import torch

    if (setting := setting_of("CHOOSE_DTYPE")) is not None:
        return getattr(torch, setting)
    return torch.bfloat16 if has_bfloat16() else torch.float32


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


def trains_in_bfloat16() -> bool:
    import torch

    return dtype() is torch.bfloat16


@contextmanager
def quiet_loading() -> Iterator[None]:
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


def multiplies_bfloat16() -> bool:
    import torch

    if torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported():
        return True
    with suppress(OSError):  # ARM
        return " bf16" in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    return False
