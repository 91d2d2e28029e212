"""Rows of tokens end to end, without padding; a grid only where tokens look at each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

# Rows this much shorter than the longest of a block, in tokens, get a block of their own: padding
# costs attention only, a block of its own ten kernels a layer.
SLACK = 16


@dataclass(frozen=True, slots=True)
class Block:
    """Rows of similar length, as a grid `longest` wide; `places` are theirs in the batch.

    `later` (longest, longest) is minus infinity where a key, its row, comes after the query, its
    column, and zero elsewhere.
    """

    places: tuple[int, ...]
    longest: int
    later: torch.Tensor


@dataclass(frozen=True, slots=True)
class Ragged:
    """A batch of rows end to end: ids (tokens,), lengths (rows,), and the blocks of its grid.

    `cells` holds the token of each cell of the grid, block after block, and -1 where there is none;
    `columns` how far into its row a cell stands.
    """

    ids: torch.Tensor
    lengths: torch.Tensor
    blocks: tuple[Block, ...]
    cells: torch.Tensor
    columns: torch.Tensor

    def lasts(self, states: torch.Tensor) -> torch.Tensor:
        """Return the state of each row's last token (rows, width)."""
        return states.index_select(0, self.lengths.cumsum(0) - 1)


def ragged(rows: Sequence[Sequence[int]], device: str) -> Ragged:
    """Lay rows of token ids end to end."""
    import torch

    lengths = torch.tensor([len(row) for row in rows])
    starts = lengths.cumsum(0) - lengths
    ids = torch.tensor([token for row in rows for token in row])
    blocks, cells, columns = [], [], []
    for places in _alike(lengths.tolist()):
        longest = int(lengths[places].max())
        later = torch.full((longest, longest), -torch.inf).tril(-1)
        blocks.append(Block(tuple(places), longest, later.to(device)))
        column = torch.arange(longest).expand(len(places), -1)
        token = starts[places][:, None] + column
        cells.append(token.where(column < lengths[places][:, None], -1).flatten())
        columns.append(column.flatten())
    return Ragged(
        ids.to(device),
        lengths.to(device),
        tuple(blocks),
        torch.cat(cells).to(device),
        torch.cat(columns).to(device),
    )


def _alike(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yield places of rows whose lengths differ by at most `SLACK` tokens or a third."""
    block: list[int] = []
    for place in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if block and lengths[block[0]] > max(lengths[place] + SLACK, 1.5 * lengths[place]):
            yield sorted(block)
            block = []
        block.append(place)
    yield sorted(block)
