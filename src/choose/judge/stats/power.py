"""Power of a paired test: the smallest detectable gain, and the rows that a gain needs."""

from __future__ import annotations

from math import sqrt

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtri


def smallest_detectable_gain(
    n: float, discordance: float, power: float = 0.8, repetition_variance: float = 0.0
) -> float | None:
    """Return the gain that a two-sided 5 % test on n paired rows detects (Connor 1987).

    Args:
        n: test rows.
        discordance: share of rows that exactly one of the two candidates gets right.
        power: probability of detecting the gain.
        repetition_variance: variance of the difference due to repetitions.

    Returns:
        The gain as a fraction, or None if not even one as large as the discordance is detected.
    """
    z, needed = float(ndtri(0.975)), float(ndtri(power))

    def shortfall(gain: float) -> float:
        null = sqrt(discordance / n + repetition_variance)
        true = sqrt(max(discordance - gain**2, 0.0) / n + repetition_variance)
        return gain - z * null - needed * true

    if n <= 0 or discordance <= 0 or shortfall(discordance) < 0:
        return None
    return float(brentq(shortfall, 0.0, discordance, xtol=1e-9))


def rows_needed(gain: float, discordance: float, power: float = 0.8) -> int:
    """Return the test rows that detect a gain with this power; Connor's formula inverted."""
    gain = min(max(gain, 1e-6), max(discordance, 1e-6))
    z, needed = float(ndtri(0.975)), float(ndtri(power))
    root = z * sqrt(discordance) + needed * sqrt(max(discordance - gain**2, 0.0))
    return int(np.ceil((root / gain) ** 2))
