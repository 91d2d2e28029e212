"""Attention over a ragged batch, forward and backward: causal with rotary positions, or both ways.

The query, key and value vectors of all groups of rows stand in one flat list, so that one gather
fills the operands of batched products, and one brings results back. Long rows are computed some
positions at a time: these read no later key, their weights stay in the processor's cache, and
backward computes them again, so that memory grows with the length and not with its square.
TorchScript compiles what is computed in every layer, and cannot read annotations that are strings.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch

from choose.engines.lora.batching import LengthGroup, RaggedBatch

# Rows from this many tokens on are computed `POSITIONS` at a time: on a core with AVX-512, forward
# and backward take 0.6 of the time at 256 tokens, 0.5 at 512 and 0.3 at 1,024.
LONG, POSITIONS = 192, 64


class AttentionHeads(NamedTuple):
    """How a fused projection's columns divide: query heads, then as many key as value heads.

    `scaling` is the factor of attention scores: frozen queries are multiplied by it. With
    `both_ways` each token attends to its whole text, and nothing is rotated.
    """

    query_heads: int
    key_heads: int
    head_size: int
    scaling: float
    both_ways: bool = False

    @property
    def group_size(self) -> int:
        """Return how many query heads share a key head."""
        return self.query_heads // self.key_heads


class GroupLayout(NamedTuple):
    """The place of a length group in the flat list of vectors; `blocks` = rows * key heads.

    From `start` on stand the `queries` = group_size * longest query vectors of each of the blocks,
    then the `keys` = shared + longest of each, then as many values. Outputs of attention stand from
    `output_start` on. `mask` is the causal one, of all queries of short rows, else of one part's:
    `long` rows are computed some positions at a time. Both ways it hides padding.
    """

    blocks: int
    queries: int
    keys: int
    longest: int
    start: int
    output_start: int
    mask: torch.Tensor
    long: bool


class AttentionLayout(NamedTuple):
    """How a batch's projections become the groups' vectors and come back; the same in all layers.

    Fields from `spread` to `padding` are index vectors over rows of head size. `spread`
    gathers the groups' vectors from the projections, and `spread_inverse` their gradients back.
    `collect` gathers tokens' outputs from the groups', `collect_inverse` the gradients there, and
    `padding` are the places where these are zero. `rotation` (tokens, rotated heads * half a head)
    has the complex numbers that rotate queries and keys, and `unrotation` those that rotate their
    gradients back. `shared` has, for each prefix and group, projected vectors of the prefix (n,)
    and their places in the group, a row of n for each row after it. `ends` has, by layer, the only
    tokens that go on after its attention, where these are not all.
    """

    groups: list[GroupLayout]
    spread: torch.Tensor
    spread_inverse: torch.Tensor
    collect: torch.Tensor
    collect_inverse: torch.Tensor
    padding: torch.Tensor
    rotation: torch.Tensor
    unrotation: torch.Tensor
    shared: list[tuple[torch.Tensor, torch.Tensor]]
    ends: dict[int, torch.Tensor]


def attention_layout(
    batch: RaggedBatch, heads: AttentionHeads, rotations: tuple[torch.Tensor, torch.Tensor] | None
) -> AttentionLayout:
    """Lay out a batch; `rotations` are the model's cosines and sines (longest, head size)."""
    groups, projected, owned, outputs = [], [], [], []
    shared: list[tuple[torch.Tensor, torch.Tensor]] = []
    start = output_start = 0
    for group in batch.groups:
        blocks, queries = len(group.rows) * heads.key_heads, heads.group_size * group.longest
        keys = group.grid.shape[1]
        mask, long = _mask(group, heads), group.longest >= LONG and not heads.both_ways
        place = blocks, queries, keys, group.longest, start, output_start
        groups.append(GroupLayout(*place, mask, long))
        projected.append(_projected_indices(group, heads))
        places = _shared_places(group, blocks, queries).to(batch.ids.device)
        owned.append(projected[-1].index_fill(0, places.flatten(), -1))
        shared += _shared_vectors(batch, group, projected[-1], places, start)
        outputs.append(_output_indices(group, heads))
        start += len(projected[-1])
        output_start += len(outputs[-1])
    spread, output = torch.cat(projected), torch.cat(outputs)
    rotation = _rotation(batch, heads, rotations)
    return AttentionLayout(
        groups,
        spread.clamp(min=0),
        _inverse_permutation(torch.cat(owned)),
        _inverse_permutation(output),
        output.clamp(min=0),
        (output < 0).nonzero()[:, 0],
        rotation,
        rotation.conj().resolve_conj(),
        shared,
        {},
    )


def _rotation(
    batch: RaggedBatch, heads: AttentionHeads, rotations: tuple[torch.Tensor, torch.Tensor] | None
) -> torch.Tensor:
    if rotations is None:
        return torch.empty(0, device=batch.ids.device)
    cosine, sine = (each[:, : heads.head_size // 2] for each in rotations)
    turns = torch.complex(cosine, sine)[batch.positions]
    return turns.repeat(1, heads.query_heads + heads.key_heads)


def _mask(group: LengthGroup, heads: AttentionHeads) -> torch.Tensor:
    """Return the mask of a group; see `GroupLayout`."""
    grid, queries, shared = group.grid, group.longest, group.shared
    if heads.both_ways:
        mask = torch.zeros(grid.shape, device=grid.device).masked_fill_(grid < 0, -torch.inf)
        return mask.repeat_interleave(heads.key_heads, 0)[:, :, None]
    if long := queries >= LONG:
        queries, shared = POSITIONS, 0
    # A key that comes after a query, its column, is hidden.
    mask = torch.full((shared + queries, queries), -torch.inf, device=grid.device)
    return mask.tril_(-1 - shared).repeat(1, 1 if long else heads.group_size)


def _projected_indices(group: LengthGroup, heads: AttentionHeads) -> torch.Tensor:
    """Return the projected vector of each place of a group, -1 where a cell is padding."""
    grid = group.grid
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


def _output_indices(group: LengthGroup, heads: AttentionHeads) -> torch.Tensor:
    """Return the output vector of each place of a group, -1 where a cell is padding."""
    cells = group.grid[:, group.shared :]
    head = torch.arange(heads.query_heads, device=cells.device).view(heads.key_heads, -1)
    return _vector_indices(cells, head, heads.query_heads)


def _vector_indices(cells: torch.Tensor, head: torch.Tensor, columns: int) -> torch.Tensor:
    """Return vectors by row, key head, head (key heads, group size) of it and cell."""
    grid = cells[:, None, None]
    return (grid * columns + head[None, :, :, None]).where(grid >= 0, -1).flatten()


def _shared_places(group: LengthGroup, blocks: int, queries: int) -> torch.Tensor:
    """Return (rows, vectors) the places of the prefixes' keys and values in a group's vectors."""
    longest = group.grid.shape[1]
    keys = torch.arange(blocks * longest).view(len(group.rows), -1, longest)[..., : group.shared]
    both = torch.cat([keys, keys + blocks * longest], 1) + blocks * queries
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
    filled = (indices >= 0).nonzero()[:, 0]
    inverse = torch.empty_like(filled)
    inverse[indices[filled]] = filled
    return inverse


# From here on TorchScript compiles all functions on a CPU.


def attention_forward(
    projected: torch.Tensor, heads: AttentionHeads, layout: AttentionLayout
) -> tuple[torch.Tensor, list[list[torch.Tensor]]]:
    """Return (tokens, query heads * head size), and the tensors of each group for backward.

    `projected` may be overwritten.
    """
    vectors = projected.float()
    _rotate(vectors, heads, layout.rotation)
    vectors = vectors.view(-1, heads.head_size).index_select(0, layout.spread)
    outputs = vectors.new_empty([len(layout.collect_inverse), heads.head_size])
    saved: list[list[torch.Tensor]] = []
    for group in layout.groups:
        queries, keys, values = _split_group(vectors, group)
        to_fill = _group_outputs(outputs, group)
        kept = [queries, keys, values]
        if not group.long:
            # Keys first, as in `_weights`.
            weights = torch.baddbmm(group.mask, keys, queries.mT).softmax(1)
            torch.bmm(weights.mT, values, out=to_fill)
            kept.append(weights)
        for start, stop in _parts(group):
            weights = _weights(queries, keys, group, start, stop)
            part = torch.bmm(weights.mT, values[:, : weights.shape[1]])
            own = _by_position(to_fill, group)[:, :, start:stop]
            own.copy_(part.view_as(own))
        saved.append(kept)
    collected = outputs.index_select(0, layout.collect).view(len(projected), -1)
    return collected.to(projected.dtype), saved


def attention_backward(
    gradient: torch.Tensor,
    heads: AttentionHeads,
    layout: AttentionLayout,
    saved: list[list[torch.Tensor]],
) -> torch.Tensor:
    """Return the gradient of the projected queries, keys and values."""
    to_outputs = gradient.view(-1, heads.head_size).index_select(0, layout.collect_inverse)
    to_outputs = to_outputs.index_fill_(0, layout.padding, 0.0).float()
    to_vectors = to_outputs.new_empty([len(layout.spread), heads.head_size])
    for group, kept in zip(layout.groups, saved):  # noqa: B905 - TorchScript has no `strict`
        queries, keys, values = kept[0], kept[1], kept[2]
        to_output = _group_outputs(to_outputs, group)
        to_queries, to_keys, to_values = _split_group(to_vectors, group)
        if group.long:
            to_keys.zero_()
            to_values.zero_()
        else:
            torch.bmm(kept[3], to_output, out=to_values)
            to_scores = _softmax_backward(torch.bmm(values, to_output.mT), kept[3])
            torch.bmm(to_scores, queries, out=to_keys)
            torch.bmm(to_scores.mT, keys, out=to_queries)
        to_fill = _by_position(to_queries, group)
        for start, stop in _parts(group):
            weights = _weights(queries, keys, group, start, stop)
            seen, to_some = weights.shape[1], _positions(to_output, group, start, stop)
            to_values[:, :seen].baddbmm_(weights, to_some)
            to_scores = _softmax_backward(torch.bmm(values[:, :seen], to_some.mT), weights)
            to_keys[:, :seen].baddbmm_(to_scores, _positions(queries, group, start, stop))
            to_query = torch.bmm(to_scores.mT, keys[:, :seen])
            own = to_fill[:, :, start:stop]
            own.copy_(to_query.view_as(own))
    to_projected = to_vectors.index_select(0, layout.spread_inverse)
    for vectors, places in layout.shared:
        of_rows = to_vectors.index_select(0, places.flatten()).view(len(places), len(vectors), -1)
        to_projected.index_add_(0, vectors, of_rows.sum(0))
    to_projected = to_projected.view(len(gradient), -1)
    _rotate(to_projected, heads, layout.unrotation)
    return to_projected.to(gradient.dtype)


def _softmax_backward(to_weights: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    return torch._softmax_backward_data(to_weights, weights, 1, weights.dtype)


def _parts(group: GroupLayout) -> list[tuple[int, int]]:
    """Return the positions of long rows that are computed together, none of short ones."""
    starts = range(0, group.longest if group.long else 0, len(group.mask))
    return [(start, min(start + len(group.mask), group.longest)) for start in starts]


def _weights(
    queries: torch.Tensor, keys: torch.Tensor, group: GroupLayout, start: int, stop: int
) -> torch.Tensor:
    """Return the weights (blocks, keys, queries) of the keys that some positions see.

    Keys stand first: a softmax then runs along whole vectors, ten times as fast.
    """
    count, seen = stop - start, group.keys - group.longest + stop
    scores = torch.bmm(keys[:, :seen], _positions(queries, group, start, stop).mT)
    own = scores.view(group.blocks, seen, -1, count)[:, seen - count :]
    own.add_(group.mask[:count, None, :count])
    return scores.softmax(1)


def _by_position(vectors: torch.Tensor, group: GroupLayout) -> torch.Tensor:
    """Return (blocks, group size, longest, head size), given a vector for each query."""
    return vectors.view(group.blocks, -1, group.longest, vectors.shape[-1])


def _positions(vectors: torch.Tensor, group: GroupLayout, start: int, stop: int) -> torch.Tensor:
    """Return (blocks, group size * positions, head size) the queries at some positions."""
    some = _by_position(vectors, group)[:, :, start:stop]
    return some.reshape(group.blocks, -1, vectors.shape[-1])


def _rotate(projected: torch.Tensor, heads: AttentionHeads, rotation: torch.Tensor) -> None:
    """Rotate queries and keys among vectors (tokens, all heads * head size), but not both ways."""
    if not heads.both_ways:
        every = torch.view_as_complex(projected.view(len(projected), -1, 2))
        every[:, : rotation.shape[1]].mul_(rotation)


def _split_group(
    vectors: torch.Tensor, group: GroupLayout
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return a group's queries, keys and values, each contiguous, as fast products need."""
    queries, keys = group.blocks * group.queries, group.blocks * group.keys
    start = group.start
    part = vectors[start : start + queries + 2 * keys]
    return (
        part[:queries].view(group.blocks, group.queries, -1),
        part[queries : queries + keys].view(group.blocks, group.keys, -1),
        part[queries + keys :].view(group.blocks, group.keys, -1),
    )


def _group_outputs(outputs: torch.Tensor, group: GroupLayout) -> torch.Tensor:
    size = group.blocks * group.queries
    part = outputs[group.output_start : group.output_start + size]
    return part.view(group.blocks, -1, outputs.shape[1])
