"""Where the vectors of attention heads stand when the rows of a ragged batch form a grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from choose.models.ragged import Block, Ragged

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Heads:
    """How a fused projection's columns divide: `asking` query heads, then `kept` keys and values.

    `scaling` is what scores are multiplied by.
    """

    asking: int
    kept: int
    width: int
    scaling: float

    @property
    def group(self) -> int:
        """Return how many query heads share a key head."""
        return self.asking // self.kept


@dataclass(frozen=True, slots=True)
class Panel:
    """A block's rows in the flat list of vectors: `count` = rows * kept key heads.

    From `start` on stand the `queries` = group * longest queries of each, then all keys, then all
    values; what queries read stands from `read` on.
    """

    count: int
    queries: int
    longest: int
    start: int
    read: int
    later: torch.Tensor


@dataclass(frozen=True, slots=True)
class Grid:
    """How a batch's projections become the vectors of its panels and come back; one for all layers.

    Vectors are head-wide rows. `spread` takes panels' vectors out of the projected ones, `home`
    brings their gradients back; `gather` takes tokens' readings out of the panels', `outward` their
    gradients there, and `empty` are the places where that must be none. `cosine` and `sine` rotate
    queries and keys, scale queries, and leave values alone.
    """

    panels: tuple[Panel, ...]
    spread: torch.Tensor
    home: torch.Tensor
    gather: torch.Tensor
    outward: torch.Tensor
    empty: torch.Tensor
    cosine: torch.Tensor
    sine: torch.Tensor


def grid(batch: Ragged, heads: Heads, cosine: torch.Tensor, sine: torch.Tensor) -> Grid:
    """Lay out a batch; `cosine` and `sine` (longest, width) are the model's."""
    import torch

    sine = sine.clone()
    sine[:, : heads.width // 2].neg_()
    panels, taken, turned, read = [], [], [], []
    start = cell = answers = 0
    for block in batch.blocks:
        size = len(block.places) * block.longest
        cells, columns = batch.cells[cell : cell + size], batch.columns[cell : cell + size]
        panel = _panel(block, heads, start, answers)
        panels.append(panel)
        taken.append(_vectors(cells, block, heads))
        turned.append(_angles(columns, block, heads, cosine, sine))
        read.append(_readings(cells, block, heads))
        cell, start = cell + size, start + len(taken[-1])
        answers += len(read[-1])
    spread, outward = torch.cat(taken), torch.cat(read)
    return Grid(
        tuple(panels),
        spread.clamp(min=0),
        _inverse(spread),
        _inverse(outward),
        outward.clamp(min=0),
        (outward < 0).nonzero()[:, 0],
        torch.cat([part[0] for part in turned]),
        torch.cat([part[1] for part in turned]),
    )


def _panel(block: Block, heads: Heads, start: int, read: int) -> Panel:
    count = len(block.places) * heads.kept
    return Panel(count, heads.group * block.longest, block.longest, start, read, block.later)


def _vectors(cells: torch.Tensor, block: Block, heads: Heads) -> torch.Tensor:
    """Return the projected vector of each place of a panel, -1 where a cell is empty."""
    import torch

    head = torch.arange(heads.asking + 2 * heads.kept, device=cells.device)
    keys = heads.asking + heads.kept
    parts = head[: heads.asking], head[heads.asking : keys], head[keys:]
    return torch.cat(
        [_places(cells, block, part.view(heads.kept, -1), len(head)) for part in parts]
    )


def _readings(cells: torch.Tensor, block: Block, heads: Heads) -> torch.Tensor:
    """Return the same for what queries read."""
    import torch

    head = torch.arange(heads.asking, device=cells.device).view(heads.kept, -1)
    return _places(cells, block, head, heads.asking)


def _places(cells: torch.Tensor, block: Block, head: torch.Tensor, columns: int) -> torch.Tensor:
    """Return vectors by row, key head, head (kept, group) of it and cell."""
    grid = cells.view(len(block.places), 1, 1, block.longest)
    return (grid * columns + head[None, :, :, None]).where(grid >= 0, -1).flatten()


def _angles(
    columns: torch.Tensor, block: Block, heads: Heads, cosine: torch.Tensor, sine: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    at = columns.view(len(block.places), 1, 1, block.longest)
    import torch

    found = []
    for table, still in ((cosine, 1.0), (sine, 0.0)):
        keys = table[at].expand(-1, heads.kept, -1, -1, -1)
        queries = keys.expand(-1, -1, heads.group, -1, -1) * heads.scaling
        parts = (queries, keys, keys.new_full((1,), still).expand_as(keys))
        found.append(torch.cat([part.reshape(-1, heads.width) for part in parts]))
    return found[0], found[1]


def _inverse(places: torch.Tensor) -> torch.Tensor:
    """Return where each of 0 to n stands among places that hold it once, beside -1."""
    import torch

    filled = (places >= 0).nonzero()[:, 0]
    found = torch.empty_like(filled)
    found[places[filled]] = filled
    return found
