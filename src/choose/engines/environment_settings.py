"""The environment: settings in variables, the cache folder, the processor and its cores."""

import os
import platform
from pathlib import Path
from typing import Literal

from choose.errors import ModelError
from choose.outside_values import check_text, finite, shown

DTYPES = ("float32", "bfloat16")
KNOWN = {"CHOOSE_DTYPE": DTYPES, "CHOOSE_DEVICE": ("cpu", "cuda", "mps")}
MOST_THREADS = 10_000


def cache_dir() -> Path:
    """Return the user's cache; CHOOSE_CACHE overrides where it is."""
    override = os.environ.get("CHOOSE_CACHE")
    if override:
        check_text(override, "CHOOSE_CACHE", ModelError)
        reason = "it is not a folder"
        try:
            folder = Path(override).expanduser()
            # In this order: another process may create it between the two questions.
            if not folder.exists() or folder.is_dir():
                return folder
        except (RuntimeError, OSError) as error:
            reason = (getattr(error, "strerror", None) or str(error)).rstrip(".")
        raise ModelError(
            f"CHOOSE_CACHE is {shown(override)}, which cannot be used: {reason}. Name a folder "
            "that can be written, or leave it unset."
        )
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("choose", appauthor=False))


def threads_setting() -> int | None:
    value = os.environ.get("CHOOSE_THREADS")
    if not value:
        return None
    threads = finite(value) if value.isdecimal() else None
    if threads is None or not 1 <= threads <= MOST_THREADS:
        raise ModelError(f"CHOOSE_THREADS is {shown(value)}; it must be a positive integer.")
    return int(threads)


def setting_of(variable: Literal["CHOOSE_DTYPE", "CHOOSE_DEVICE"]) -> str | None:
    known, value = KNOWN[variable], os.environ.get(variable) or None
    if value is not None and value not in known:
        listed = f"{', '.join(known[:-1])} or {known[-1]}"
        raise ModelError(f"{variable} is {shown(value)}; it can be {listed}.")
    return value


def cores() -> int:
    """Return how many cores models may use; CHOOSE_THREADS or OMP_NUM_THREADS limit them."""
    if (setting := threads_setting()) is not None:
        return setting
    limit = os.environ.get("OMP_NUM_THREADS", "")
    if limit.isdecimal() and 1 <= (finite(limit) or 0) <= MOST_THREADS:
        return int(limit)
    from joblib import cpu_count

    return int(cpu_count())  # respects affinity and the quota of a container


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        return next(line for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return f"{platform.machine()} {platform.processor()}"
