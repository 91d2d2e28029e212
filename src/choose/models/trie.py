"""Labels as one tree of tokens, so that a single pass reads every shared beginning once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class LabelTrie:
    """Every distinct beginning of a label is a node; the root is the end of the prompt.

    A label's log-probability is the sum over its steps of log p(token | position), the last step
    being `end`, the token that closes an answer: without it, a label that another one begins
    with would always look better. Positions count from the root (0), so node i stands at i + 1.

    Attributes:
        tokens: (nodes,) the token of each node.
        depth: (nodes,) how many tokens lie between the root and the node, itself included.
        sees: (nodes, nodes) True where a row's node has the column's node on its path.
        step_label, step_position, step_token: (steps,) all labels' steps, one after another.
        lengths: (labels,) tokens of each label, the end included.
    """

    tokens: Ints
    depth: Ints
    sees: Bools
    step_label: Ints
    step_position: Ints
    step_token: Ints
    lengths: Ints

    @classmethod
    def build(cls, labels: Sequence[Sequence[int]], end: int) -> LabelTrie:
        """Grow the tree from the labels' tokens, each label closed by `end`."""
        return cls.of([(*label, end) for label in labels])

    @classmethod
    def of(cls, answers: Sequence[Sequence[int]]) -> LabelTrie:
        """Grow the tree from whole answers: the last token of each is scored and is no node."""
        places: dict[tuple[int, ...], int] = {}
        steps: list[tuple[int, int, int]] = []
        for number, answer in enumerate(answers):
            position = 0
            for length, token in enumerate(answer, start=1):
                steps.append((number, position, token))
                if length < len(answer):
                    position = 1 + places.setdefault(tuple(answer[:length]), len(places))
        sees = np.zeros((len(places), len(places)), dtype=np.bool_)
        for path, place in places.items():
            for length in range(1, len(path) + 1):
                sees[place, places[path[:length]]] = True
        columns = np.array(steps, dtype=np.int64).reshape(-1, 3).T
        return cls(
            tokens=np.array([path[-1] for path in places], dtype=np.int64),
            depth=np.array([len(path) for path in places], dtype=np.int64),
            sees=sees,
            step_label=columns[0],
            step_position=columns[1],
            step_token=columns[2],
            lengths=np.array([len(answer) for answer in answers], dtype=np.int64),
        )

    def mask(self, prefix: int, rest: int) -> Bools:
        """Return (rest + nodes, prefix + rest + nodes): which token may look at which.

        Prompt tokens look back as usual; a node looks at the whole prompt and its own path.
        """
        rows = rest + len(self.tokens)
        mask = np.zeros((rows, prefix + rows), dtype=np.bool_)
        mask[:, :prefix] = True
        mask[:rest, prefix : prefix + rest] = np.tri(rest, dtype=np.bool_)
        mask[rest:, prefix : prefix + rest] = True
        mask[rest:, prefix + rest :] = self.sees
        return mask

    def positions(self, prefix: int, rest: int) -> Ints:
        """Return (rest + nodes,) the place of each token in the text it belongs to."""
        return np.concatenate([np.arange(prefix, prefix + rest), prefix + rest - 1 + self.depth])
