"""How sure a simulated candidate says it is, of right answers and of wrong ones."""

from __future__ import annotations

import numpy as np

from known_worlds.latent import Codes, Floats

# How far a wrong answer is as sure as a right one would be, drawn anew for each fit: from one that
# nearly knows its mistakes to one that is surer of them.
WRONG = (0.3, 1.2)

# On the latent scale: half as sure as can be at about this distance.
SCALE = 1.5


def log_probabilities(
    codes: Codes, truth: Codes, ahead: Floats, labels: int, rng: np.random.Generator
) -> Floats:
    """Return (n, labels) log-probabilities whose likeliest label is the answer.

    How sure it is grows with the distance from where it would have answered otherwise. What is left
    is dealt out at random, to the true label of a wrong answer first.
    """
    wrong = codes != truth
    distance = np.abs(ahead) * np.where(wrong, rng.uniform(*WRONG), 1.0)
    least = 1 / labels
    top = least + (0.999 - least) * np.tanh(distance / SCALE)
    shares = rng.dirichlet(np.ones(labels), len(codes))
    each = np.arange(len(codes))
    shares[each, truth] += wrong
    shares[each, codes] = 0.0
    rest = shares / shares.sum(axis=1, keepdims=True) * (1 - top)[:, None]
    # No other label may pass the answer.
    found = np.minimum(rest, 0.999 * top[:, None])
    found[each, codes] = top
    return np.log(np.maximum(found / found.sum(axis=1, keepdims=True), 1e-9))
