"""One forward and backward pass of a decoder with adapters and heads, part by part of a batch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from choose.models.hardware.memory import kept_bytes
from choose.models.lora.fused.adapters import Adapters, Pair
from choose.models.lora.fused.attention import Ragged, ragged
from choose.models.lora.fused.decoder import Decoder, Side
from choose.models.lora.fused.linear import NORMS
from choose.models.lora.fused.lower_layers import Lower
from choose.models.lora.model import logits_of

if TYPE_CHECKING:
    import torch


# Most tokens of a part of a batch, where memory would allow more.
PART_TOKENS = 1024


# Bytes of a number of the stream and of attention, which are float32 whatever products are in.
_WHOLE = 4


def part_tokens(adapters: Adapters, longest: int, device: str) -> int:
    """Return how many tokens a part of a batch may have whose longest row has `longest`.

    By the trial's own adapters, so that its parts are the same whatever is trained beside it.
    """
    return min(PART_TOKENS, fitting_tokens(adapters, longest, device))


def fitting_tokens(adapters: Adapters, longest: int, device: str) -> int:
    """Return how many tokens of such rows a pass can have in the memory meant for it."""
    return max(1, kept_bytes(device) // token_bytes(adapters, longest))


def token_bytes(adapters: Adapters, longest: int) -> int:
    """Return the bytes that a pass keeps for each token of rows of `longest` tokens.

    See `decoder_layer` and `heads` for what that is.
    """
    decoder = adapters.decoder
    width, projected = decoder.shape("qkv")
    norms = 2 * _WHOLE * (width + 1)
    attention = _WHOLE * (projected + decoder.layers[0].heads.asking * longest)
    gate = 3 * decoder.dtype.itemsize * decoder.shape("rise")[1] // 2
    seen = sum(_adapter_bytes(adapters, name, ranks) for name, ranks in adapters.ranks.items())
    return len(decoder.layers) * (norms + attention + gate + seen)


def _adapter_bytes(adapters: Adapters, name: str, ranks: int) -> int:
    """Return the bytes of what a product's adapters saw and made of a token, and of dropout."""
    size, inputs = adapters.decoder.dtype.itemsize, adapters.decoder.shape(name)[0]
    # What a norm gave is kept anyway, in float32.
    copies = 2 if adapters.dropout else 0 if name in NORMS and size == _WHOLE else 1
    return size * (copies * inputs + ranks)


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
