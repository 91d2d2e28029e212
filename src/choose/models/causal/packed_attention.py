"""Several texts in one pass of a causal model, none of which sees another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import torch

    from choose.models.causal.label_scoring import Bools, Ints

    Past = dict[int, torch.Tensor]


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
        found = _attend_block(folded, seen[:, :, : block.end], factor, block)
        yield found.reshape(query.shape[0], -1, query.shape[-1])


def _attend_block(
    query: torch.Tensor, seen: torch.Tensor, scale: float, block: Block
) -> torch.Tensor:
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


ATTENTION_NAME = "choose_packed"


# What a model may hand to its attention that this one would have to heed and does not.
_UNSUPPORTED = ("softcap", "s_aux", "position_bias", "head_mask")


# Rotations of keys that depend on how long a pass is.
_LENGTH_DEPENDENT_ROPE = ("longrope", "dynamic")


@dataclass(eq=False)
class Piece:
    """Tokens of one text in a pass.

    Attributes:
        tokens: (n,) ids.
        positions: (n,) the place of each in its text.
        sees: (n, past + n) which token looks at which, the past ones first.
        past: keys and values of the tokens before it; None where there are none.
        past_tokens: how many those are; they stand at the places 0, 1, …
        wanted: (m,) the rows whose logits are asked for.
    """

    tokens: Ints
    positions: Ints
    sees: Bools
    past: Past | None
    past_tokens: int
    wanted: Ints
    blocks: dict[tuple[int | None, int], list[Block]] = field(default_factory=dict)

    def in_blocks(self, window: int | None, groups: int, like: torch.Tensor) -> list[Block]:
        """Return the parts of its attention, for all layers with that window and those groups."""
        if (window, groups) not in self.blocks:
            sees = self.sees
            if window is not None:
                places = np.concatenate([np.arange(self.past_tokens), self.positions])
                sees = sees & (self.positions[:, None] - places[None, :] < window)
            self.blocks[window, groups] = in_blocks(sees, groups, like)
        return self.blocks[window, groups]


@dataclass(eq=False)
class Pack:
    """The pieces of a pass; with `keeps`, what they leave for those that come after them."""

    pieces: Sequence[Piece]
    keeps: bool = False
    kept: Past = field(default_factory=dict)


_PACK: ContextVar[Pack | None] = ContextVar("pack", default=None)


def max_stable_length(config: Any) -> int:
    """Return up to how many tokens a text's places do not depend on the longest text in a pass.

    LongRoPE turns all keys of a pass one way or another, as that one is within the length that
    the model was first trained on or beyond it; dynamic scaling does by how far it is beyond.
    """
    text = config.get_text_config()
    rope = getattr(text, "rope_parameters", None) or {}
    found = [part for part in (rope, *rope.values()) if isinstance(part, dict)]
    # An absent length is the model's own, which no prompt may exceed.
    return min(
        (
            int(part.get("original_max_position_embeddings") or 1 << 20)
            for part in found
            if part.get("rope_type") in _LENGTH_DEPENDENT_ROPE
        ),
        default=1 << 20,
    )


def logits(model: Any, pack: Pack) -> torch.Tensor:
    """Return (m, vocabulary) logits of the m rows that the pieces want, piece by piece."""
    import torch

    device = model.device
    tokens = np.concatenate([piece.tokens for piece in pack.pieces])
    positions = np.concatenate([piece.positions for piece in pack.pieces])
    starts = np.cumsum([0, *(len(piece.tokens) for piece in pack.pieces)])[:-1]
    wanted = np.concatenate([p.wanted + s for p, s in zip(pack.pieces, starts, strict=True)])
    with _packed(model, pack), torch.inference_mode():
        output = model(
            input_ids=torch.from_numpy(tokens)[None].to(device),
            position_ids=torch.from_numpy(positions)[None].to(device),
            # Anything that is a mask already: the library makes none of its own then.
            attention_mask=torch.zeros(1, 1, 1, 1, dtype=model.dtype, device=device),
            use_cache=False,
            logits_to_keep=torch.from_numpy(wanted).to(device),
        )
    rows: torch.Tensor = output.logits[0]
    return rows


@contextmanager
def _packed(model: Any, pack: Pack) -> Iterator[None]:
    """Let a model attend by pieces, and as it did before afterwards."""
    _register()
    config = model.config.get_text_config()
    before = config._attn_implementation
    token = _PACK.set(pack)
    try:
        config._attn_implementation = ATTENTION_NAME
        yield
    finally:
        config._attn_implementation = before
        _PACK.reset(token)


@cache
def _register() -> None:
    from transformers import AttentionInterface

    AttentionInterface.register(ATTENTION_NAME, attend)


def attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **more: Any,
) -> tuple[torch.Tensor, None]:
    """Return (1, n, heads, width): each piece looks at its own past and itself only.

    With nothing else in a product of its own, what a piece gets cannot depend on its company.

    Raises:
        NotImplementedError: if the model's attention has a part that this one lacks.
    """
    import torch

    pack = _PACK.get()
    strange = [name for name in _UNSUPPORTED if more.get(name) is not None]
    if pack is None or strange:
        raise NotImplementedError(f"attention with {', '.join(strange) or 'no pack'}")
    layer = int(module.layer_idx)
    both = torch.cat([key, value])
    if pack.keeps:
        pack.kept[layer] = both
    groups = query.shape[1] // key.shape[1]
    lengths = [len(piece.tokens) for piece in pack.pieces]
    parts: list[torch.Tensor] = []
    asked_own = torch.split(query[0], lengths, 1), torch.split(both, lengths, 2)
    cut = zip(pack.pieces, *asked_own, strict=True)
    for piece, asked, own in cut:
        seen = own if piece.past is None else torch.cat([piece.past[layer], own], dim=2)
        blocks = piece.in_blocks(sliding_window, groups, query)
        parts += attention(asked, seen, scaling, blocks)
    return torch.cat(parts, dim=1).transpose(0, 1)[None], None
