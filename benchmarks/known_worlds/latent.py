"""The population of items on a latent scale: who gets what share of it right, exactly.

A contestant is right on an item where ability plus luck exceeds the item's difficulty plus how hard
that contestant finds it. Difficulty is shared and heavy-tailed, with a hump of hard items; the rest
is normal, so that accuracy is a mean of normal probabilities over the quantiles of difficulty.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri, stdtrit

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

HARD_SHARE, HARD_MEAN, TAIL, SCALE = 0.25, 2.5, 4.0, 1.2
QUANTILES = 200

# Ability lies between these on the latent scale for any accuracy between 1 and 99.9 %.
LOWEST, HIGHEST = -15.0, 40.0


def difficulties(rng: np.random.Generator, n: int) -> Floats:
    """Draw (n,) item difficulties."""
    hard = rng.random(n) < HARD_SHARE
    easy = SCALE * rng.standard_t(TAIL, n)
    return np.where(hard, rng.normal(HARD_MEAN, 1.0, n), easy)


@cache
def grid() -> tuple[Floats, Floats]:
    """Return difficulties and weights that stand for the population."""
    q = (np.arange(QUANTILES) + 0.5) / QUANTILES
    values = np.concatenate([HARD_MEAN + ndtri(q), SCALE * stdtrit(TAIL, q)])
    share = np.repeat([HARD_SHARE, 1 - HARD_SHARE], QUANTILES)
    return values, share / QUANTILES


def right_by_difficulty(ability: float, spread: float) -> Floats:
    """Return the chance of being right at each difficulty of the grid."""
    found: Floats = ndtr((ability - grid()[0]) / spread)
    return found


def accuracy(ability: float, spread: float) -> float:
    """Return the share of the population that is got right."""
    return float(grid()[1] @ right_by_difficulty(ability, spread))


def ability_for(wanted: float, spread: float, chance: float = 0.0, depth: float = 0.0) -> float:
    """Return the ability whose expected accuracy is `wanted`.

    Args:
        wanted: expected accuracy.
        spread: standard deviation of everything normal: own difficulty, luck, interaction.
        chance: how often a fit collapses.
        depth: by how much its ability falls then.
    """

    def beyond(ability: float) -> float:
        mean = (1 - chance) * accuracy(ability, spread)
        if chance:
            mean += chance * accuracy(ability - depth, spread)
        return mean - wanted

    return float(brentq(beyond, LOWEST, HIGHEST, xtol=1e-5))
