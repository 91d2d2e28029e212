"""Scores of labels from the log-probabilities of the tokens that an endpoint wrote."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from choose.models.endpoints.journal import Alternatives
from choose.types import Floats

# No label is ever impossible; scores must be finite.
LEAST = 1e-6


def label_scores(
    odds: Alternatives, content: str, written: str, names: Sequence[str], chosen: int
) -> Floats | None:
    """Return (labels,) log-probabilities, or None where the tokens are not those of the answer.

    A server lists a few alternatives to each token. An alternative that other labels begin with
    gives them its share; what no label of the list accounts for is spread over all of them. So the
    chosen label's figure is exact and the others' are estimates.

    Args:
        odds: the tokens with their log-probabilities and alternatives.
        content: the whole answer.
        written: the chosen label as it stands in the content.
        names: all labels as the model would write them.
        chosen: which of them was.
    """
    start = content.rfind(written)
    if not written or start < 0 or "".join(t for t, _, _ in odds)[: len(content)] != content:
        return None
    head, end = content[:start], start + len(written)
    mass, path, place = np.zeros(len(names)), 1.0, 0
    for token, logprob, others in odds:
        if start - len(token) < place < end and place + len(token) > start:
            for other, other_logprob in others:
                heirs = _heirs(content[:place] + other, head, names) if other != token else []
                for heir in heirs:
                    mass[heir] += path * math.exp(other_logprob) / len(heirs)
            path *= math.exp(logprob)
        place += len(token)
    mass[chosen] += path
    rest = max(0.0, 1.0 - float(mass.sum()))
    shared = mass + rest / len(names) + LEAST
    scores: Floats = np.log(shared / shared.sum())
    return scores


def _heirs(text: str, head: str, names: Sequence[str]) -> list[int]:
    """Return the labels that a text, up to an alternative token, can still become."""
    return [
        number
        for number, name in enumerate(names)
        if (head + name).startswith(text)
        or (text.startswith(head + name) and len(text) > len(head))
    ]
