"""Batch calibration: take away what a model says whatever it is asked."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from choose.types import Example, Floats

ROWS = 64


@dataclass(frozen=True, slots=True)
class Calibration:
    """A shift of label scores, estimated once and frozen (Zhou et al. 2023, arXiv 2309.17249).

    Attributes:
        shift: (labels,) what is subtracted from every row of log-probabilities.
        note: what was chosen and why, as a sentence.
    """

    shift: Floats
    note: str

    def __call__(self, logprobs: Floats) -> Floats:
        """Return (n, labels) calibrated log-probabilities that sum to one over the labels."""
        shifted = logprobs - self.shift
        top = shifted.max(axis=1, keepdims=True, initial=-np.inf)
        normalised: Floats = (
            shifted - top - np.log(np.exp(shifted - top).sum(axis=1, keepdims=True))
        )
        return normalised


def calibration_rows(examples: Sequence[Example]) -> list[Example]:
    """Return up to ROWS rows, chosen by their ids, so that pools that overlap choose alike."""
    return sorted(examples, key=lambda e: hashlib.sha256(e.id.encode("utf-8", "replace")).digest())[
        :ROWS
    ]


def calibrate(logprobs: Floats, targets: Sequence[int]) -> Calibration:
    """Shift by the mean of a strategy's own (n, labels) rows, if that gets more of them right.

    A tie goes to the shift. It assumes labels of similar frequency, which is why it is tested.
    """
    neutral = np.zeros(logprobs.shape[1])
    if not len(logprobs):
        return Calibration(neutral, "There were no rows to calibrate on.")
    mean: Floats = logprobs.mean(axis=0)
    truth = np.asarray(targets)
    raw = int((logprobs.argmax(axis=1) == truth).sum())
    shifted = int(((logprobs - mean).argmax(axis=1) == truth).sum())
    figures = f"{shifted} of {len(truth)} of its own rows right with it, {raw} without"
    if shifted >= raw:
        return Calibration(mean, f"Batch calibration is on: {figures}.")
    return Calibration(neutral, f"Batch calibration is off: {figures}.")


def uncalibrated(labels: int) -> Calibration:
    """Return the calibration that changes nothing."""
    return Calibration(np.zeros(labels), "Batch calibration is off, as asked.")
