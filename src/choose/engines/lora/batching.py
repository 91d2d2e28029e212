"""Texts as rows of token ids; rows as batches with little padding, or end to end with none."""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from choose.engines.causal.chat_template import CHARACTERS_PER_TOKEN, ContentTokenizer

# Training batches are cut from groups of this many batches of similar length: little padding, and
# still a different mixture in each epoch.
BATCHES_PER_GROUP = 8


@dataclass(frozen=True, slots=True)
class TokenisedTexts:
    """Token ids of texts, and how many texts were truncated."""

    ids: tuple[tuple[int, ...], ...]
    truncated: int

    @property
    def lengths(self) -> list[int]:
        return [len(row) for row in self.ids]


def tokenise(tokenizer: Any, texts: Sequence[str], limit: int) -> TokenisedTexts:
    """Return at most `limit` tokens of each text, special tokens included, and at least one.

    An empty row becomes the end-of-text token. Lone surrogates, which no tokenizer takes, are
    replaced.
    """
    if not texts:
        return TokenisedTexts((), 0)
    before, after = special_tokens_around(tokenizer)
    most = max(1, limit - len(before) - len(after))
    longest = most * CHARACTERS_PER_TOKEN
    clean = [text[:longest].encode("utf-8", "replace").decode("utf-8") for text in texts]
    plain = ContentTokenizer(tokenizer).ids(clean)
    empty = (tokenizer.eos_token_id or 0,)
    return TokenisedTexts(
        tuple((*before, *row[:most], *after) or empty for row in plain),
        truncated=sum(len(row) > most for row in plain),
    )


def special_tokens_around(tokenizer: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the special tokens a model expects before and after a text."""
    plain = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole = tokenizer("a")["input_ids"]
    start = next((i for i in range(len(whole)) if whole[i : i + len(plain)] == plain), 0)
    return tuple(whole[:start]), tuple(whole[start + len(plain) :])


def batches_by_length(lengths: Sequence[int], tokens: int) -> Iterator[list[int]]:
    """Yield indices of rows of similar length, at most `tokens` padded tokens a batch."""
    batch: list[int] = []
    for row in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
        if batch and (len(batch) + 1) * lengths[row] > tokens:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def shuffled_batches(
    lengths: Sequence[int], size: int, chooser: random.Random
) -> Iterator[list[int]]:
    """Yield row indices of one epoch, `size` a batch, shuffled but of similar length."""
    order = list(range(len(lengths)))
    chooser.shuffle(order)
    span = size * BATCHES_PER_GROUP
    batches = []
    for start in range(0, len(order), span):
        group = sorted(order[start : start + span], key=lambda i: lengths[i])
        batches += [group[i : i + size] for i in range(0, len(group), size)]
    chooser.shuffle(batches)
    yield from batches


# A batch is trained in two parts, one on each of two cores: two passes that never wait for each
# other are faster than one whose every small product is divided. Parts and their order are the
# same on any number of cores, so the trained weights are too.
PARTS_PER_BATCH = 2


def split_batch(
    lengths: Sequence[int], max_tokens: int, least: int = PARTS_PER_BATCH
) -> list[list[int]]:
    """Divide a batch's rows into parts of about `max_tokens` at most: a multiple of `least`."""
    count = min(len(lengths), least * max(1, math.ceil(sum(lengths) / (least * max_tokens))))
    parts: list[list[int]] = [[] for _ in range(count)]
    sizes = [0] * count
    for row in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        lightest = sizes.index(min(sizes))
        parts[lightest].append(row)
        sizes[lightest] += lengths[row]
    return parts


def batches_of_units(
    units: Sequence[Sequence[int]], size: int, chooser: random.Random
) -> Iterator[list[int]]:
    """Yield batches of so many rows without end; each epoch shuffles units and rows in them."""
    while True:
        shuffled = [chooser.sample(list(unit), len(unit)) for unit in units]
        chooser.shuffle(shuffled)
        order = [i for unit in shuffled for i in unit]
        yield from (order[start : start + size] for start in range(0, len(order), size))


def pad(rows: Sequence[Sequence[int]], device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ids (B, T) padded on the right, and lengths (B,)."""
    lengths = torch.tensor([len(row) for row in rows])
    ids = torch.zeros(len(rows), int(lengths.max()), dtype=torch.long)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = torch.tensor(row)
    return ids.to(device), lengths.to(device)


# Rows this much shorter than the longest of a group, in tokens, get a group of their own: padding
# costs attention only, another group ten kernel launches a layer.
GROUP_SLACK = 16


class LengthGroup(NamedTuple):
    """Rows of similar length, by their indices in the batch.

    Each continues a prefix of `shared` tokens. `grid` (rows, shared + longest) holds the index of
    the token in each cell, -1 where a cell is padding.
    """

    rows: tuple[int, ...]
    shared: int
    grid: torch.Tensor

    @property
    def longest(self) -> int:
        return self.grid.shape[1] - self.shared


@dataclass(frozen=True, slots=True)
class RaggedBatch:
    """A batch of rows end to end: ids (tokens,), lengths (rows,), and its groups.

    `prefixes` (rows,) are the rows that a row continues, -1 for none.
    """

    ids: torch.Tensor
    lengths: torch.Tensor
    groups: tuple[LengthGroup, ...]
    prefixes: tuple[int, ...]

    @property
    def longest(self) -> int:
        """Return the tokens of the longest row, its prefix included."""
        return max(group.grid.shape[1] for group in self.groups)

    @property
    def positions(self) -> torch.Tensor:
        """Return (tokens,) each token's position in its text, prefix included."""
        lengths = self.lengths.tolist()
        before = [0 if prefix < 0 else lengths[prefix] for prefix in self.prefixes]
        each = [range(b, b + n) for b, n in zip(before, lengths, strict=True)]
        return torch.tensor([place for row in each for place in row], device=self.ids.device)

    @property
    def starts(self) -> torch.Tensor:
        """Return (rows,) the index of each row's first token."""
        return self.lengths.cumsum(0) - self.lengths


def ragged_batch(
    rows: Sequence[Sequence[int]], device: str, prefixes: Sequence[int] = ()
) -> RaggedBatch:
    """Lay rows of token ids end to end; `prefixes` are the rows that they continue, -1 for none."""
    prefixes = tuple(prefixes) or (-1,) * len(rows)
    lengths = torch.tensor([len(row) for row in rows])
    starts = lengths.cumsum(0) - lengths
    ids = torch.tensor([token for row in rows for token in row])
    before = [0 if prefix < 0 else len(rows[prefix]) for prefix in prefixes]
    groups = []
    for indices in _length_groups(lengths.tolist(), before):
        shared, own = before[indices[0]], lengths[indices][:, None]
        column = torch.arange(int(own.max()))
        cells = (starts[indices][:, None] + column).where(column < own, -1)
        continued = starts[[max(0, prefixes[i]) for i in indices]][:, None] + torch.arange(shared)
        grid = torch.cat([continued, cells], 1).to(device)
        groups.append(LengthGroup(tuple(indices), shared, grid))
    return RaggedBatch(ids.to(device), lengths.to(device), tuple(groups), prefixes)


def _length_groups(lengths: Sequence[int], before: Sequence[int]) -> Iterator[list[int]]:
    """Yield indices of rows whose lengths differ by at most `GROUP_SLACK` tokens or a tenth.

    Rows of a group continue prefixes of the same length; `before` has these lengths.
    """
    group: list[int] = []
    for row in sorted(range(len(lengths)), key=lambda i: (-before[i], -lengths[i], i)):
        first = group[0] if group else row
        shorter = lengths[first] > max(lengths[row] + GROUP_SLACK, 1.1 * lengths[row])
        if shorter or before[first] != before[row]:
            yield sorted(group)
            group = []
        group.append(row)
    yield sorted(group)
