"""The rows of a simulated study: what is true of them, and what their labels say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from known_worlds.latent import HARD_MEAN, Codes, Floats, difficulties
from known_worlds.setting import Setting


@dataclass(frozen=True)
class Rows:
    """The asked rows: what is true of them, what their labels say, and what candidates learn."""

    truth: Codes
    labelled: Codes
    learnt: Codes
    difficulty: Floats
    fold: Codes
    group: Codes
    age: Floats


def hard(difficulty: Floats) -> NDArray[np.bool_]:
    """Return which items are hard enough for annotators to err on."""
    return np.asarray(difficulty > HARD_MEAN - 0.5, dtype=np.bool_)


def flip_chance(setting: Setting, difficulty: Floats) -> Floats:
    """Return the chance that the label of an item of each difficulty is wrong."""
    even = np.full(len(difficulty), setting.mislabelled)
    return even * hard(difficulty) if setting.hard_only else even


def draw_rows(setting: Setting, rng: np.random.Generator) -> Rows:
    """Draw the rows of one study."""
    n, k = setting.rows, setting.labels
    truth = rng.choice(k, n, p=setting.share)
    group = np.arange(n) // setting.cluster
    difficulty = difficulties(rng, n)[group] if setting.cluster > 1 else difficulties(rng, n)
    labelled = learnt = truth
    if setting.mislabelled:
        wrong = rng.random(n) < flip_chance(setting, difficulty)
        labelled = np.where(wrong, (truth + rng.integers(1, k, n)) % k, truth)
        if setting.taught:
            learnt = np.where(rng.random(n) < setting.taught, labelled, truth)
    # Groups stay whole, as they do in a real division.
    fold = rng.permutation(int(group.max()) + 1)[group] % setting.folds
    # Rows lie in the order in which they are asked, fold by fold, as in a store.
    order = np.argsort(fold, kind="stable")
    found = (truth, labelled, learnt, difficulty, fold, group, rng.random(n) - 0.5)
    return Rows(*(part[order] for part in found))
