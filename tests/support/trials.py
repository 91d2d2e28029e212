"""Trials whose facts do not matter to a test."""

from typing import Any

from choose.types import STANDARD, Trial


def plain_trial(candidate: str, draw: int = 0, **facts: Any) -> Trial:
    """Return a trial of a candidate that is its own strategy; the draw is its seed."""
    usual = {
        "strategy": candidate,
        "revision": 1,
        "params": {},
        "variant": "",
        "scenario": STANDARD,
        "fold": 0,
        "train_size": 50,
        "seed": draw,
        "weights": "",
        "task": "",
        "pool": "",
        "questions": "",
    }
    return Trial(candidate=candidate, draw=draw, **{**usual, **facts})
