"""Texts as token rows, and rows as batches that waste no padding."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from choose.models.causal.chat_template import CHARACTERS_PER_TOKEN, Contents

if TYPE_CHECKING:
    import torch


# Training batches are cut out of runs of this many batches of neighbouring length: short padding,
# and still a different mixture in each epoch.
RUN = 8


@dataclass(frozen=True, slots=True)
class Rows:
    """Token ids of texts, and how many texts were cut to fit."""

    ids: tuple[tuple[int, ...], ...]
    cut: int

    @property
    def lengths(self) -> list[int]:
        """Return the number of tokens of each row."""
        return [len(row) for row in self.ids]


def tokenise(tokenizer: Any, texts: Sequence[str], limit: int) -> Rows:
    """Return at most `limit` tokens of each text, special tokens included, and at least one.

    Where nothing else is left, that one ends a text.
    Lone surrogates, which no tokenizer takes, are replaced.
    """
    if not texts:
        return Rows((), 0)
    before, after = affixes(tokenizer)
    room = max(1, limit - len(before) - len(after))
    longest = room * CHARACTERS_PER_TOKEN
    clean = [text[:longest].encode("utf-8", "replace").decode("utf-8") for text in texts]
    plain = Contents(tokenizer).ids(clean)
    empty = (tokenizer.eos_token_id or 0,)
    return Rows(
        tuple((*before, *row[:room], *after) or empty for row in plain),
        cut=sum(len(row) > room for row in plain),
    )


def affixes(tokenizer: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the special tokens a model expects before and after a text."""
    plain = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole = tokenizer("a")["input_ids"]
    start = next((i for i in range(len(whole)) if whole[i : i + len(plain)] == plain), 0)
    return tuple(whole[:start]), tuple(whole[start + len(plain) :])


def by_length(lengths: Sequence[int], tokens: int) -> Iterator[list[int]]:
    """Yield places of rows of similar length, at most `tokens` padded tokens a batch."""
    batch: list[int] = []
    for place in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
        if batch and (len(batch) + 1) * lengths[place] > tokens:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


def shuffled(lengths: Sequence[int], size: int, chooser: random.Random) -> Iterator[list[int]]:
    """Yield places of one epoch, `size` rows a batch, mixed anew but of similar length."""
    order = list(range(len(lengths)))
    chooser.shuffle(order)
    span = size * RUN
    batches = []
    for start in range(0, len(order), span):
        run = sorted(order[start : start + span], key=lambda i: lengths[i])
        batches += [run[i : i + size] for i in range(0, len(run), size)]
    chooser.shuffle(batches)
    yield from batches


def pad(rows: Sequence[Sequence[int]], device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ids (B, T), padded on the right whatever the tokenizer prefers, and lengths (B,)."""
    import torch

    lengths = torch.tensor([len(row) for row in rows])
    ids = torch.zeros(len(rows), int(lengths.max()), dtype=torch.long)
    for place, row in enumerate(rows):
        ids[place, : len(row)] = torch.tensor(row)
    return ids.to(device), lengths.to(device)
