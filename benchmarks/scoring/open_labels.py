"""Labels whose end is not scored, as the harness has them by default; no study scores them so."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from choose.models.trie import LabelTrie


def open_trie(labels: Sequence[Sequence[int]]) -> LabelTrie:
    """Return the tree of labels without their end: the last token of a label is no node."""
    places: dict[tuple[int, ...], int] = {}
    steps: list[tuple[int, int, int]] = []
    for number, label in enumerate(labels):
        position = 0
        for length, token in enumerate(label, start=1):
            steps.append((number, position, token))
            if length < len(label):
                position = 1 + places.setdefault(tuple(label[:length]), len(places))
    sees = np.zeros((len(places), len(places)), dtype=np.bool_)
    for path, place in places.items():
        for length in range(1, len(path) + 1):
            sees[place, places[path[:length]]] = True
    columns = np.array(steps, dtype=np.int64).reshape(-1, 3).T
    return LabelTrie(
        tokens=np.array([path[-1] for path in places], dtype=np.int64),
        depth=np.array([len(path) for path in places], dtype=np.int64),
        sees=sees,
        step_label=columns[0],
        step_position=columns[1],
        step_token=columns[2],
        lengths=np.array([len(label) for label in labels], dtype=np.int64),
    )
