"""Causal attention over a ragged batch, forward and backward, with rotary positions.

The query, key and value vectors of all groups of rows stand in one flat list, so that one gather
fills the operands of batched products, and one brings results back. Long rows are computed some
positions at a time: these read no later key, their weights stay in the processor's cache, and
backward computes them again, so that memory grows with the length and not with its square.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from choose.models.lora.batching import LengthGroup, RaggedBatch, causal_mask

if TYPE_CHECKING:
    import torch

# Rows from this many tokens on are computed `POSITIONS` at a time: on a core with AVX-512, forward
# and backward take 0.6 of the time at 256 tokens, 0.5 at 512 and 0.3 at 1,024. On an accelerator
# each part is a dozen kernels to start, so these are fewer and larger.
LONG, POSITIONS, POSITIONS_THERE = 192, 64, 256


@dataclass(frozen=True, slots=True)
class AttentionHeads:
    """How a fused projection's columns divide: query heads, then as many key as value heads.

    `scaling` is the factor of attention scores. With `interleaved`, the two numbers that rotary
    positions rotate together are neighbours in queries and keys, else half a head apart.
    """

    query_heads: int
    key_heads: int
    head_size: int
    scaling: float
    interleaved: bool = False

    @property
    def group_size(self) -> int:
        """Return how many query heads share a key head."""
        return self.query_heads // self.key_heads


@dataclass(frozen=True, slots=True)
class GroupLayout:
    """The place of a length group in the flat list of vectors; `count` = rows * key heads.

    From `start` on stand the `queries` = group_size * longest query vectors of each of the count,
    then the `keys` = shared + longest of each, then as many values. Outputs of attention stand from
    `output_start` on. `mask` is the causal one, of all queries of short rows, else of one part's.
    """

    count: int
    queries: int
    keys: int
    longest: int
    start: int
    output_start: int
    mask: torch.Tensor

    @property
    def long(self) -> bool:
        """Return whether rows are computed some positions at a time."""
        return self.longest >= LONG

    def parts(self) -> list[slice]:
        """Return the positions of long rows that are computed together, none of short ones."""
        starts = range(0, self.longest if self.long else 0, len(self.mask))
        return [slice(start, min(start + len(self.mask), self.longest)) for start in starts]

    def seen(self, some: slice) -> int:
        """Return how many keys the last of some positions sees."""
        return self.keys - self.longest + int(some.stop)

    def by_position(self, vectors: torch.Tensor) -> torch.Tensor:
        """Return (count, group size, longest, head size), given a vector for each query."""
        return vectors.view(self.count, -1, self.longest, vectors.shape[-1])


@dataclass(frozen=True, slots=True)
class AttentionLayout:
    """How a batch's projections become the groups' vectors and come back; the same in all layers.

    All fields but `groups` and the rotations are index vectors over rows of head size. `spread`
    gathers the groups' vectors from the projections, and `spread_inverse` their gradients back.
    `collect` gathers tokens' outputs from the groups', `collect_inverse` the gradients there, and
    `padding` are the places where these are zero. `rotation` (tokens, query and key heads, head
    size / 2, 2) has the cosines and sines that rotate queries and keys and scale queries, and
    `unrotation` does the same to gradients. `shared` has, for each prefix and group, projected
    vectors of the prefix (n,) and their places in the group, a row of n for each row after it.
    """

    groups: tuple[GroupLayout, ...]
    spread: torch.Tensor
    spread_inverse: torch.Tensor
    collect: torch.Tensor
    collect_inverse: torch.Tensor
    padding: torch.Tensor
    rotation: torch.Tensor
    unrotation: torch.Tensor
    shared: tuple[tuple[torch.Tensor, torch.Tensor], ...]


def attention_layout(
    batch: RaggedBatch, heads: AttentionHeads, cosine: torch.Tensor, sine: torch.Tensor
) -> AttentionLayout:
    """Lay out a batch; `cosine` and `sine` (longest, head size) are the model's."""
    import torch

    groups, projected, owned, outputs = [], [], [], []
    shared: list[tuple[torch.Tensor, torch.Tensor]] = []
    start = output_start = 0
    for group, grid in zip(batch.groups, _grids(batch), strict=True):
        count, queries = len(group.rows) * heads.key_heads, heads.group_size * group.longest
        keys = group.shared + group.longest
        mask = causal_mask(POSITIONS if grid.is_cpu else POSITIONS_THERE, 0, grid.device)
        if group.longest < LONG:
            mask = causal_mask(group.longest, group.shared, grid.device).repeat(1, heads.group_size)
        groups.append(GroupLayout(count, queries, keys, group.longest, start, output_start, mask))
        projected.append(_projected_indices(grid, group, heads))
        places = _shared_places(group, count, queries).to(grid.device)
        owned.append(projected[-1].index_fill(0, places.flatten(), -1))
        shared += _shared_vectors(batch, group, projected[-1], places, start)
        outputs.append(_output_indices(grid, group, heads))
        start += len(projected[-1])
        output_start += len(outputs[-1])
    spread, output = torch.cat(projected), torch.cat(outputs)
    half = heads.head_size // 2
    angles = torch.stack([cosine[:, :half], sine[:, :half]], 2)[batch.positions]
    rotation = angles[:, None].repeat(1, heads.query_heads + heads.key_heads, 1, 1)
    rotation[:, : heads.query_heads] *= heads.scaling
    return AttentionLayout(
        tuple(groups),
        spread.clamp(min=0),
        _inverse_permutation(torch.cat(owned)),
        _inverse_permutation(output),
        output.clamp(min=0),
        (output < 0).nonzero()[:, 0],
        rotation,
        rotation * rotation.new_tensor([1.0, -1.0]),
        tuple(shared),
    )


def _grids(batch: RaggedBatch) -> Iterator[torch.Tensor]:
    """Yield each group's token indices (rows, shared + longest), -1 where a cell is padding."""
    import torch

    cell = shared_cell = 0
    for group in batch.groups:
        count = len(group.rows)
        own = batch.cells[cell : cell + count * group.longest].view(count, -1)
        shared = batch.shared_cells[shared_cell : shared_cell + count * group.shared]
        yield torch.cat([shared.view(count, group.shared), own], 1)
        cell, shared_cell = cell + own.numel(), shared_cell + shared.numel()


def _projected_indices(
    grid: torch.Tensor, group: LengthGroup, heads: AttentionHeads
) -> torch.Tensor:
    """Return the projected vector of each place of a group, -1 where a cell is padding."""
    import torch

    head = torch.arange(heads.query_heads + 2 * heads.key_heads, device=grid.device)
    values = heads.query_heads + heads.key_heads
    parts = head[: heads.query_heads], head[heads.query_heads : values], head[values:]
    cells = grid[:, group.shared :], grid, grid
    return torch.cat(
        [
            _vector_indices(some, part.view(heads.key_heads, -1), len(head))
            for some, part in zip(cells, parts, strict=True)
        ]
    )


def _output_indices(grid: torch.Tensor, group: LengthGroup, heads: AttentionHeads) -> torch.Tensor:
    """Return the output vector of each place of a group, -1 where a cell is padding."""
    import torch

    head = torch.arange(heads.query_heads, device=grid.device).view(heads.key_heads, -1)
    return _vector_indices(grid[:, group.shared :], head, heads.query_heads)


def _vector_indices(cells: torch.Tensor, head: torch.Tensor, columns: int) -> torch.Tensor:
    """Return vectors by row, key head, head (key heads, group size) of it and cell."""
    grid = cells[:, None, None]
    return (grid * columns + head[None, :, :, None]).where(grid >= 0, -1).flatten()


def _shared_places(group: LengthGroup, count: int, queries: int) -> torch.Tensor:
    """Return (rows, vectors) the places of the prefixes' keys and values in a group's vectors."""
    import torch

    longest = group.shared + group.longest
    keys = torch.arange(count * longest).view(len(group.rows), -1, longest)[..., : group.shared]
    both = torch.cat([keys, keys + count * longest], 1) + count * queries
    return both.flatten(1)


def _shared_vectors(
    batch: RaggedBatch,
    group: LengthGroup,
    projected: torch.Tensor,
    places: torch.Tensor,
    start: int,
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield the vectors of each prefix of a group, and their places by row that continues it."""
    owners = [batch.prefixes[row] for row in group.rows] if group.shared else []
    for prefix in dict.fromkeys(owners):
        own = places[[i for i, owner in enumerate(owners) if owner == prefix]]
        yield projected[own[0]], own + start


def _inverse_permutation(indices: torch.Tensor) -> torch.Tensor:
    """Return the place of each of 0 to n among indices that hold it once, apart from -1."""
    import torch

    filled = (indices >= 0).nonzero()[:, 0]
    inverse = torch.empty_like(filled)
    inverse[indices[filled]] = filled
    return inverse


def attention_forward(
    projected: torch.Tensor, heads: AttentionHeads, layout: AttentionLayout
) -> tuple[torch.Tensor, Any]:
    """Return (tokens, query heads * head size), and the tensors that backward needs.

    `projected` may be overwritten.
    """
    import torch

    vectors = projected.float()
    _rotate(vectors, heads, layout.rotation)
    vectors = vectors.view(-1, heads.head_size).index_select(0, layout.spread)
    outputs = vectors.new_empty(len(layout.collect_inverse), heads.head_size)
    saved = []
    for group in layout.groups:
        queries, keys, values = _split_group(vectors, group)
        to_fill = _group_outputs(outputs, group)
        weights = None
        if not group.long:
            # Keys first, as in `_weights`.
            weights = torch.baddbmm(group.mask, keys, queries.mT).softmax(1)
            torch.bmm(weights.mT, values, out=to_fill)
        for some in group.parts():
            part = torch.bmm(_weights(queries, keys, group, some).mT, values[:, : group.seen(some)])
            own = group.by_position(to_fill)[:, :, some]
            own.copy_(part.view_as(own))
        saved.append((queries, keys, values, weights))
    collected = outputs.index_select(0, layout.collect).view(len(projected), -1)
    return collected.to(projected.dtype), saved


def attention_backward(
    gradient: torch.Tensor, heads: AttentionHeads, layout: AttentionLayout, saved: Any
) -> torch.Tensor:
    """Return the gradient of the projected queries, keys and values."""
    import torch

    to_outputs = gradient.view(-1, heads.head_size).index_select(0, layout.collect_inverse)
    to_outputs = to_outputs.index_fill_(0, layout.padding, 0.0).float()
    to_vectors = to_outputs.new_empty(len(layout.spread), heads.head_size)
    for group, (queries, keys, values, weights) in zip(layout.groups, saved, strict=True):
        to_output = _group_outputs(to_outputs, group)
        to_queries, to_keys, to_values = _split_group(to_vectors, group)
        if not group.long:
            torch.bmm(weights, to_output, out=to_values)
            to_scores = _softmax_backward(torch.bmm(values, to_output.mT), weights)
            torch.bmm(to_scores, queries, out=to_keys)
            torch.bmm(to_scores.mT, keys, out=to_queries)
            continue
        to_keys.zero_()
        to_values.zero_()
        to_fill = group.by_position(to_queries)
        for some in group.parts():
            weights = _weights(queries, keys, group, some)
            seen, to_some = group.seen(some), _positions(to_output, group, some)
            to_values[:, :seen].baddbmm_(weights, to_some)
            to_scores = _softmax_backward(torch.bmm(values[:, :seen], to_some.mT), weights)
            to_keys[:, :seen].baddbmm_(to_scores, _positions(queries, group, some))
            to_query = torch.bmm(to_scores.transpose(1, 2), keys[:, :seen])
            to_fill[:, :, some] = to_query.view_as(to_fill[:, :, some])
    to_projected = to_vectors.index_select(0, layout.spread_inverse)
    for vectors, places in layout.shared:
        of_rows = to_vectors.index_select(0, places.flatten()).view(*places.shape, -1)
        to_projected[vectors] += of_rows.sum(0)
    to_projected = to_projected.view(len(gradient), -1)
    _rotate(to_projected, heads, layout.unrotation)
    return to_projected.to(gradient.dtype)


def _softmax_backward(to_weights: torch.Tensor, weights: torch.Tensor) -> Any:
    import torch

    return torch.ops.aten._softmax_backward_data(to_weights, weights, 1, torch.float32)


def _weights(
    queries: torch.Tensor, keys: torch.Tensor, group: GroupLayout, some: slice
) -> torch.Tensor:
    """Return the weights (count, keys, queries) of the keys that some positions see.

    Keys stand first: a softmax then runs along whole vectors, ten times as fast.
    """
    import torch

    seen, count = group.seen(some), some.stop - some.start
    scores = torch.bmm(keys[:, :seen], _positions(queries, group, some).transpose(1, 2))
    own = scores.view(group.count, seen, -1, count)[:, seen - count :]
    own.add_(group.mask[:count, None, :count])
    weights: torch.Tensor = scores.softmax(1)
    return weights


def _positions(vectors: torch.Tensor, group: GroupLayout, some: slice) -> torch.Tensor:
    """Return (count, group size * positions, head size) the queries at some positions."""
    return group.by_position(vectors)[:, :, some].reshape(group.count, -1, vectors.shape[-1])


def _rotate(projected: torch.Tensor, heads: AttentionHeads, rotation: torch.Tensor) -> None:
    """Rotate queries and keys among projected vectors (tokens, all heads * head size)."""
    import torch

    every = projected.view(len(projected), -1, heads.head_size)
    rotated = every[:, : heads.query_heads + heads.key_heads]
    if heads.interleaved:
        pairs = torch.view_as_complex(rotated.view(*rotated.shape[:2], -1, 2))
        pairs.mul_(torch.view_as_complex(rotation))
        return
    (one, other), (cosine, sine) = rotated.chunk(2, 2), rotation.unbind(3)
    rotated.copy_(torch.cat([one * cosine - other * sine, other * cosine + one * sine], 2))


def _split_group(vectors: torch.Tensor, group: GroupLayout) -> list[torch.Tensor]:
    """Return a group's queries, keys and values, each contiguous, as fast products need."""
    parts, start = [], group.start
    for longest in (group.queries, group.keys, group.keys):
        size = group.count * longest
        parts.append(vectors[start : start + size].view(group.count, longest, -1))
        start += size
    return parts


def _group_outputs(outputs: torch.Tensor, group: GroupLayout) -> torch.Tensor:
    size = group.count * group.queries
    part = outputs[group.output_start : group.output_start + size]
    return part.view(group.count, -1, outputs.shape[1])
