"""The environment: settings in variables, the cache folder, the processor and its cores."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from choose.errors import ModelError

DTYPES = ("float32", "bfloat16")


def cache_dir() -> Path:
    """Return the user's cache; CHOOSE_CACHE overrides where it is."""
    override = os.environ.get("CHOOSE_CACHE")
    if override:
        return Path(override).expanduser()
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("choose", appauthor=False))


def check_environment() -> None:
    """Refuse settings that cannot be computed with, before anything is run.

    Raises:
        ModelError: if CHOOSE_THREADS is not a positive integer or CHOOSE_DTYPE names another type.
    """
    threads_setting()
    dtype_setting()


def threads_setting() -> int | None:
    """Return the value of CHOOSE_THREADS, or None.

    Raises:
        ModelError: if it is not a positive integer.
    """
    value = os.environ.get("CHOOSE_THREADS")
    if not value:
        return None
    if not value.isdecimal() or int(value) < 1:
        raise ModelError(f"CHOOSE_THREADS is {value!r}; it must be a positive integer.")
    return int(value)


def dtype_setting() -> str | None:
    """Return the value of CHOOSE_DTYPE, or None.

    Raises:
        ModelError: if it is neither float32 nor bfloat16.
    """
    value = os.environ.get("CHOOSE_DTYPE")
    if not value:
        return None
    if value not in DTYPES:
        raise ModelError(f"CHOOSE_DTYPE is {value!r}; it can be {' or '.join(DTYPES)}.")
    return value


def cores() -> int:
    """Return how many cores models may use; CHOOSE_THREADS or OMP_NUM_THREADS limit them.

    Raises:
        ModelError: if CHOOSE_THREADS is not a positive integer.
    """
    if (setting := threads_setting()) is not None:
        return setting
    limit = os.environ.get("OMP_NUM_THREADS", "")
    if limit.isdecimal() and int(limit) > 0:
        return int(limit)
    from joblib import cpu_count

    return int(cpu_count())  # respects affinity and the quota of a container


def processor() -> str:
    """Return the name of this machine's kind of processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        return next(line for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return f"{platform.machine()} {platform.processor()}"
