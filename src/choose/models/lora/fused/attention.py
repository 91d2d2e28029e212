"""Where the vectors of attention heads stand when the rows of a ragged batch form a grid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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


def attend(projected: torch.Tensor, heads: Heads, grid: Grid) -> tuple[torch.Tensor, Any]:
    """Return what tokens read, (tokens, asking * width), and what `attend_back` needs."""
    import torch

    vectors = projected.view(-1, heads.width).index_select(0, grid.spread).float()
    vectors = _turned(vectors, grid, 1.0)
    read = vectors.new_empty(len(grid.outward), heads.width)
    kept = []
    for panel in grid.panels:
        queries, keys, values = _parts(vectors, panel)
        # Scores stand keys first, (count, keys, queries): a softmax over keys then runs along
        # whole vectors, ten times as fast as over a dozen neighbouring numbers.
        scores = torch.bmm(keys, queries.transpose(1, 2))
        scores.view(panel.count, panel.longest, -1, panel.longest).add_(panel.later[:, None])
        shares = scores.softmax(1)
        torch.bmm(shares.transpose(1, 2), values, out=_read(read, panel))
        kept.append((queries, keys, values, shares))
    found = read.index_select(0, grid.gather).view(len(projected), -1)
    return found.to(projected.dtype), kept


def attend_back(gradient: torch.Tensor, heads: Heads, grid: Grid, kept: Any) -> torch.Tensor:
    """Return the gradient of the projected queries, keys and values."""
    import torch

    towards = gradient.view(-1, heads.width).index_select(0, grid.outward)
    towards = towards.index_fill_(0, grid.empty, 0.0).float()
    found = towards.new_empty(len(grid.spread), heads.width)
    for panel, (queries, keys, values, shares) in zip(grid.panels, kept, strict=True):
        reading = _read(towards, panel)
        to_queries, to_keys, to_values = _parts(found, panel)
        torch.bmm(shares, reading, out=to_values)
        to_shares = torch.bmm(values, reading.transpose(1, 2))
        to_scores = torch.ops.aten._softmax_backward_data(to_shares, shares, 1, torch.float32)
        torch.bmm(to_scores, queries, out=to_keys)
        torch.bmm(to_scores.transpose(1, 2), keys, out=to_queries)
    back = _turned(found, grid, -1.0).index_select(0, grid.home)
    return back.view(len(gradient), -1).to(gradient.dtype)


def _turned(vectors: torch.Tensor, grid: Grid, way: float) -> torch.Tensor:
    half = vectors.shape[1] // 2
    found = vectors * grid.cosine
    found[:, :half].addcmul_(vectors[:, half:], grid.sine[:, :half], value=way)
    found[:, half:].addcmul_(vectors[:, :half], grid.sine[:, half:], value=way)
    return found


def _parts(vectors: torch.Tensor, panel: Panel) -> list[torch.Tensor]:
    """Return a panel's queries, keys and values, each a whole piece, as fast products need."""
    found, start = [], panel.start
    for longest in (panel.queries, panel.longest, panel.longest):
        size = panel.count * longest
        found.append(vectors[start : start + size].view(panel.count, longest, -1))
        start += size
    return found


def _read(readings: torch.Tensor, panel: Panel) -> torch.Tensor:
    size = panel.count * panel.queries
    return readings[panel.read : panel.read + size].view(panel.count, -1, readings.shape[1])
