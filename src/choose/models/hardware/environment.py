"""What the environment says of how models compute, and how many cores they may use here."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from choose.errors import ModelError


def cache_dir() -> Path:
    """Return the user's cache; CHOOSE_CACHE overrides where it is."""
    override = os.environ.get("CHOOSE_CACHE")
    if override:
        return Path(override).expanduser()
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("choose", appauthor=False))


def processor() -> str:
    """Name the kind of processor that this machine has."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        return next(line for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return f"{platform.machine()} {platform.processor()}"


DTYPES = ("float32", "bfloat16")


def check_stated() -> None:
    """Refuse what cannot be computed with, before anything is run.

    Raises:
        ModelError: if CHOOSE_THREADS is not a positive integer or CHOOSE_DTYPE names another type.
    """
    stated_threads()
    stated_dtype()


def stated_threads() -> int | None:
    """Return what CHOOSE_THREADS says, or None.

    Raises:
        ModelError: if that is not a positive integer.
    """
    wanted = os.environ.get("CHOOSE_THREADS")
    if not wanted:
        return None
    if not wanted.isdecimal() or int(wanted) < 1:
        raise ModelError(f"CHOOSE_THREADS is {wanted!r}; it must be a positive integer.")
    return int(wanted)


def stated_dtype() -> str | None:
    """Return what CHOOSE_DTYPE says, or None.

    Raises:
        ModelError: if that is neither float32 nor bfloat16.
    """
    wanted = os.environ.get("CHOOSE_DTYPE")
    if not wanted:
        return None
    if wanted not in DTYPES:
        raise ModelError(f"CHOOSE_DTYPE is {wanted!r}; it can be {' or '.join(DTYPES)}.")
    return wanted


def cores() -> int:
    """Return how many cores models may use; CHOOSE_THREADS or OMP_NUM_THREADS limit them.

    Raises:
        ModelError: if CHOOSE_THREADS is not a positive integer.
    """
    if (stated := stated_threads()) is not None:
        return stated
    limit = os.environ.get("OMP_NUM_THREADS", "")
    if limit.isdecimal() and int(limit) > 0:
        return int(limit)
    from joblib import cpu_count

    return int(cpu_count())  # heeds affinity and the quota of a container
