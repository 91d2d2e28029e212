"""What is stored: the accuracy of each candidate on all the rows it was asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from real_sets.candidates import KINDS
from replays.stored import Answered


def contents(sets: Mapping[str, Answered]) -> Iterator[str]:
    """Yield a line for each set and size, each accuracy in % with the number of its draws."""
    yield f"{'Stored: % right (draws)':24}" + "".join(f"{name:>15}" for name in KINDS)
    for name, answered in sets.items():
        for size in answered.sizes:
            cells = "".join(f"{_cell(answered, kind, size):>15}" for kind in KINDS)
            yield f"{name:17}{size:>7,}{cells}"


def _cell(answered: Answered, candidate: str, size: int) -> str:
    fits = answered.fitted(candidate, size).values()
    if not fits:
        return "-"
    right = float(np.mean([fit.right[fit.asked].mean() for fit in fits]))
    return f"{100 * right:.1f} ({len(fits)})"
