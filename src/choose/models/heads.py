"""Causal attention of a decoder over a ragged batch, forward and backward by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from choose.models.head_grid import Grid, Heads, Panel

if TYPE_CHECKING:
    import torch


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
