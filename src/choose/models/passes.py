"""One forward and backward pass of a decoder with adapters and heads, part by part of a batch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from choose.models.adapters import logits_of
from choose.models.decoder import Decoder
from choose.models.decoder_layer import Side
from choose.models.low_rank import Pair
from choose.models.lower import Lower
from choose.models.ragged import Ragged, ragged

if TYPE_CHECKING:
    import torch

# A batch is learnt in two parts, side by side on two cores: two passes that never wait for each
# other cost less than one whose every small product is divided. Parts and their order are the same
# on any number of cores, so answers are too.
PARTS = 2


@dataclass(frozen=True, slots=True)
class Lesson:
    """Rows of one trial for one pass, with their classes and what each weighs in the loss.

    `noise` seeds what dropout leaves out, by part: how many rows, and numbers that name trial, step
    and part, so that a row meets the same dropout whoever computes it beside whatever.
    """

    rows: Sequence[Sequence[int]]
    targets: torch.Tensor
    weights: torch.Tensor
    pairs: Mapping[str, Pair]
    head: torch.nn.Linear
    dropout: float
    noise: Sequence[tuple[int, tuple[int, ...]]]


@dataclass(frozen=True, slots=True)
class Found:
    """A lesson's gradients: of the adapters by product, and of the head's weight and bias."""

    pairs: Mapping[str, Pair]
    head: tuple[torch.Tensor, ...]


def study(decoder: Decoder, lessons: Sequence[Lesson], lower: Lower) -> list[Found]:
    """Return the gradients of each lesson; all share the frozen products.

    `decoder` holds the layers that are adapted, `lower` what texts become below them.
    """
    import torch

    rows = [row for lesson in lessons for row in lesson.rows]
    batch = ragged(rows, lower.device)
    with torch.no_grad():
        grid, sides = decoder.grid(batch), _sides(decoder, lessons)
        stream, kept = decoder.ahead(lower.stream(rows, batch), grid, sides)
        heads = _heads_back(decoder, batch, stream, lessons)
        decoder.back(heads.pop(0)[0], grid, sides, kept)
    return [Found(side.gradients, head) for side, head in zip(sides, heads, strict=True)]


def _sides(decoder: Decoder, lessons: Sequence[Lesson]) -> list[Side]:
    sides, start = [], 0
    for lesson in lessons:
        tokens = slice(start, start + sum(map(len, lesson.rows)))
        gradients = {name: pair.empty() for name, pair in lesson.pairs.items()}
        sides.append(Side(tokens, lesson.pairs, gradients, _keep(decoder, lesson)))
        start = tokens.stop
    return sides


def _keep(decoder: Decoder, lesson: Lesson) -> dict[str, torch.Tensor]:
    """Draw what adapters see, (layers, tokens, inputs) by product, scaled to keep its mean.

    Adapters that read the same input leave out the same of it.
    """
    import torch

    if not lesson.dropout:
        return {}
    found: dict[str, list[torch.Tensor]] = {name: [] for name in lesson.pairs}
    start = 0
    for rows, names in lesson.noise:
        chance = np.random.SFC64(np.random.SeedSequence(names))
        tokens = sum(map(len, lesson.rows[start : start + rows]))
        start += rows
        for name, pair in lesson.pairs.items():
            shape = (len(decoder.layers), tokens, decoder.shape(name)[0])
            size = shape[0] * shape[1] * shape[2]
            drawn = torch.from_numpy(chance.random_raw(-(-size // 4)).view(np.int16)[:size])
            keep = (drawn >= round(65536 * lesson.dropout) - 32768).view(shape)
            found[name].append(keep.to(pair.a.device, pair.a.dtype).mul_(1 / (1 - lesson.dropout)))
    return {name: keep[0] if len(keep) == 1 else torch.cat(keep, 1) for name, keep in found.items()}


def _heads_back(
    decoder: Decoder, batch: Ragged, stream: torch.Tensor, lessons: Sequence[Lesson]
) -> list[tuple[torch.Tensor, ...]]:
    """Return the gradient of the stream, then those of each lesson's head."""
    import torch

    # Copies, since parts of one batch in one pass each want their own gradient of the same head.
    heads = [[p.detach().requires_grad_() for p in lesson.head.parameters()] for lesson in lessons]
    with torch.enable_grad():
        stream.requires_grad_()
        states = decoder.model.norm(batch.lasts(stream))
        loss, start = torch.zeros((), device=stream.device), 0
        for lesson, head in zip(lessons, heads, strict=True):
            logits = logits_of(states[start : start + len(lesson.rows)], *head)
            losses = torch.nn.functional.cross_entropy(logits, lesson.targets, reduction="none")
            loss = loss + (losses * lesson.weights).sum()
            start += len(lesson.rows)
        flat: list[Any] = [stream, *(parameter for head in heads for parameter in head)]
        found = list(torch.autograd.grad(loss, flat))
    stream.requires_grad_(False)
    parts: list[tuple[torch.Tensor, ...]] = [(found.pop(0),)]
    for head in heads:
        parts.append(tuple(found[: len(head)]))
        del found[: len(head)]
    return parts


def parts(lengths: Sequence[int], most: int) -> list[list[int]]:
    """Divide a batch's rows into parts of about as many tokens, `most` or so, the longest first."""
    count = min(len(lengths), max(PARTS, math.ceil(sum(lengths) / most)))
    found: list[list[int]] = [[] for _ in range(count)]
    sizes = [0] * count
    for place in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        lightest = sizes.index(min(sizes))
        found[lightest].append(place)
        sizes[lightest] += lengths[place]
    return found


def shared(lessons: Sequence[Lesson], courses: int, workers: int, room: int) -> list[list[Lesson]]:
    """Gather neighbouring lessons into passes of about `room` tokens; one course's stay apart."""
    if courses == 1:
        return [[lesson] for lesson in lessons]
    sizes = [sum(map(len, lesson.rows)) for lesson in lessons]
    # As many passes for each worker, of about the same size.
    turns = math.ceil(sum(sizes) / (workers * room))
    most = sum(sizes) / (workers * turns)
    found: list[list[Lesson]] = [[]]
    filled = 0
    for lesson, size in zip(lessons, sizes, strict=True):
        if found[-1] and filled + size / 2 > most * len(found):
            found.append([])
        found[-1].append(lesson)
        filled += size
    return found
