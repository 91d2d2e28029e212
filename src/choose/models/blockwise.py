"""Attention of one text in blocks of rows, which leave out the columns that no row of them sees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import torch

    from choose.models.trie import Bools

# Rows of a block: smaller ones leave out more and compute in smaller products.
ROWS = 128


class Block(NamedTuple):
    """Some rows of an attention.

    Attributes:
        rows: which rows.
        end: the columns from here on are seen by none of them.
        all: the columns up to here are seen by all of them.
        bias: (groups * rows, end) 0 where a row sees a column, and minus infinity elsewhere.
    """

    rows: slice
    end: int
    all: int
    bias: torch.Tensor


def in_blocks(sees: Bools, groups: int, like: torch.Tensor) -> list[Block]:
    """Return the blocks of (n, columns): which row sees which column.

    `groups` query heads share a key head: they stand below each other, so that no key is copied.
    """
    import torch

    blocks = []
    for start in range(0, len(sees), ROWS):
        part = sees[start : start + ROWS]
        end = int(np.flatnonzero(part.any(axis=0)).max()) + 1
        every = part[:, :end].all(axis=0)
        seen = end if every.all() else int(every.argmin())
        allowed = torch.from_numpy(part[:, :end]).to(like.device).repeat(groups, 1)
        bias = torch.zeros(allowed.shape, dtype=like.dtype, device=like.device)
        bias.masked_fill_(~allowed, -torch.inf)
        blocks.append(Block(slice(start, start + len(part)), end, seen, bias))
    return blocks


def attention(
    query: torch.Tensor, seen: torch.Tensor, scale: float | None, blocks: Sequence[Block]
) -> Iterator[torch.Tensor]:
    """Yield (heads, rows, width) for each block of a (heads, n, width) query.

    `seen` are the keys and the values, (2, key heads, columns, width).
    """
    factor = query.shape[-1] ** -0.5 if scale is None else scale
    for block in blocks:
        some = query if len(blocks) == 1 else query[:, block.rows]
        folded = some.reshape(seen.shape[1], -1, query.shape[-1])
        found = _one(folded, seen[:, :, : block.end], factor, block)
        yield found.reshape(query.shape[0], -1, query.shape[-1])


def _one(query: torch.Tensor, seen: torch.Tensor, scale: float, block: Block) -> torch.Tensor:
    import torch

    # Measured on a CPU with bfloat16 products: from about a hundred rows on, two of them with a
    # softmax between take half the time of the fused kernel, which is the faster one elsewhere.
    if query.device.type == "cpu" and query.dtype is torch.bfloat16 and query.shape[1] >= ROWS:
        scores = torch.bmm(query * scale, seen[0].transpose(1, 2))
        if block.all < block.end:
            scores[:, :, block.all :] += block.bias[:, block.all :]
        return torch.bmm(scores.softmax(-1), seen[1])
    keys, values = seen.unsqueeze(1)
    return torch.nn.functional.scaled_dot_product_attention(
        query[None], keys, values, attn_mask=block.bias[None, None], scale=scale
    )[0]
