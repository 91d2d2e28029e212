"""Whether the prompted models were strong enough for a verdict about prompting as such."""

from __future__ import annotations

import re

from choose.judge.evidence import CandidateInfo

# "Several billion parameters": below this, prompting poorly says little about prompting.
BILLIONS = 3.0

_SIZE = re.compile(r"(?<![A-Za-z0-9.])(?:\d+x)?(\d+(?:\.\d+)?)([bBmM])(?![A-Za-z0-9])")


def billions_of(info: CandidateInfo) -> float | None:
    """Return the model's parameters in billions, as known or as its name says; None if neither."""
    if info.billions is not None or info.model is None:
        return info.billions
    return billions_in(info.model)


def billions_in(name: str) -> float | None:
    """Return the parameters in billions that a model's name states, or None if it states none."""
    found = [float(count) / (1000 if unit in "mM" else 1) for count, unit in _SIZE.findall(name)]
    return max(found, default=None)


def strong(info: CandidateInfo) -> bool:
    """Return whether the model has several billion parameters.

    One behind an endpoint is taken to have them unless its name says less.
    """
    if info.model is not None and info.model.startswith("endpoint:"):
        return info.billions is None or info.billions >= BILLIONS
    size = billions_of(info)
    return size is not None and size >= BILLIONS
