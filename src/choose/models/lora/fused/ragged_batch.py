"""Rows of token ids end to end, without padding, and their groups for attention.

A row may continue another, a prefix that several rows share and that is computed once: its keys
and values stand before the row's own. Rows of similar length form a group.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

# Rows this much shorter than the longest of a group, in tokens, get a group of their own: padding
# costs attention only, another group ten kernel launches a layer.
GROUP_SLACK = 16


@dataclass(frozen=True, slots=True)
class LengthGroup:
    """Rows of similar length, as a grid `longest` wide; `rows` are their indices in the batch.

    Each continues a prefix of `shared` tokens. `causal_mask` (shared + longest, longest) is minus
    infinity where a key, its row, comes after the query, its column, and zero elsewhere.
    """

    rows: tuple[int, ...]
    shared: int
    longest: int
    causal_mask: torch.Tensor


@dataclass(frozen=True, slots=True)
class RaggedBatch:
    """A batch of rows end to end: ids (tokens,), lengths (rows,), and its groups.

    `cells` holds the token index of each cell of the groups' grids, group after group, and -1
    where a cell is padding. `shared_cells` holds the token indices of the prefix of each row of
    the groups, and `prefixes` (rows,) the index of the row that a row continues, or -1.
    """

    ids: torch.Tensor
    lengths: torch.Tensor
    groups: tuple[LengthGroup, ...]
    cells: torch.Tensor
    shared_cells: torch.Tensor
    prefixes: tuple[int, ...]

    @property
    def longest(self) -> int:
        """Return the tokens of the longest row, its prefix included."""
        return max(group.shared + group.longest for group in self.groups)

    @property
    def starts(self) -> torch.Tensor:
        """Return (rows,) the index of each row's first token."""
        return self.lengths.cumsum(0) - self.lengths


def ragged_batch(
    rows: Sequence[Sequence[int]], device: str, prefixes: Sequence[int] = ()
) -> RaggedBatch:
    """Lay rows of token ids end to end; `prefixes` are the rows that they continue, -1 for none."""
    import torch

    prefixes = tuple(prefixes) or (-1,) * len(rows)
    lengths = torch.tensor([len(row) for row in rows])
    starts = lengths.cumsum(0) - lengths
    ids = torch.tensor([token for row in rows for token in row])
    before = [0 if prefix < 0 else len(rows[prefix]) for prefix in prefixes]
    groups, cells, shared_cells = [], [], []
    for indices in _length_groups(lengths.tolist(), before):
        longest, shared = int(lengths[indices].max()), before[indices[0]]
        mask = torch.full((shared + longest, longest), -torch.inf).tril(-1 - shared)
        groups.append(LengthGroup(tuple(indices), shared, longest, mask.to(device)))
        column = torch.arange(longest).expand(len(indices), -1)
        token = starts[indices][:, None] + column
        cells.append(token.where(column < lengths[indices][:, None], -1).flatten())
        continued = starts[[max(0, prefixes[i]) for i in indices]]
        shared_cells.append((continued[:, None] + torch.arange(shared)).flatten())
    return RaggedBatch(
        ids.to(device),
        lengths.to(device),
        tuple(groups),
        torch.cat(cells).to(device),
        torch.cat(shared_cells).to(device),
        prefixes,
    )


def _length_groups(lengths: Sequence[int], before: Sequence[int]) -> Iterator[list[int]]:
    """Yield indices of rows whose lengths differ by at most `GROUP_SLACK` tokens or a third.

    Rows of a group continue prefixes of the same length; `before` has these lengths.
    """
    group: list[int] = []
    for row in sorted(range(len(lengths)), key=lambda i: (-before[i], -lengths[i], i)):
        first = group[0] if group else row
        shorter = lengths[first] > max(lengths[row] + GROUP_SLACK, 1.5 * lengths[row])
        if shorter or before[first] != before[row]:
            yield sorted(group)
            group = []
        group.append(row)
    yield sorted(group)
