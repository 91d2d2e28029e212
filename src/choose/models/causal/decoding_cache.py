"""Keys and values of answers under way, and the attention of a step that adds a token to each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from choose.models.causal.packed_attention import capped, unsupported_parts, uses_attention

if TYPE_CHECKING:
    import torch

    from choose.models.causal.packed_attention import Past

ATTENTION_NAME = "choose_decoding"


@dataclass(eq=False)
class DecodingCache:
    """The keys and values of the answers under way, each in a slot; slots in use come first.

    Attributes:
        slots: most answers under way.
        capacity: most tokens of a slot: the prompt's own and the new ones.
        common: keys and values of the tokens that all prompts begin with, read once.
        common_tokens: how many they are.
        own: by layer (2, slots, key heads, capacity, width).
        lengths: tokens in each slot in use.
    """

    slots: int
    capacity: int
    common: Past | None
    common_tokens: int
    own: Past = field(default_factory=dict)
    lengths: list[int] = field(default_factory=list)
    step: _Step | None = None

    def add(self, before: Past | None, past: Past, start: int, stop: int) -> None:
        """Put a prompt into the next slot: `before`, then columns `start` to `stop` of `past`.

        `before` are the keys and values of all shared parts; those in common are left out.
        """
        slot, length = len(self.lengths), 0
        for layer, read in past.items():
            shared = read[:, :, :0] if before is None else before[layer][:, :, self.common_tokens :]
            length = shared.shape[2] + stop - start
            room = self._room(layer, read)[:, slot]
            room[:, :, : shared.shape[2]] = shared
            room[:, :, shared.shape[2] : length] = read[:, :, start:stop]
        self.lengths.append(length)

    def _room(self, layer: int, like: torch.Tensor) -> torch.Tensor:
        if layer not in self.own:
            heads, _, width = like.shape[1:]
            self.own[layer] = like.new_zeros((2, self.slots, heads, self.capacity, width))
        return self.own[layer]

    def remove(self, slot: int) -> None:
        """Free a slot: the last answer under way moves into it."""
        last = len(self.lengths) - 1
        if slot < last:
            for own in self.own.values():
                own[:, slot, :, : self.lengths[last]] = own[:, last, :, : self.lengths[last]]
            self.lengths[slot] = self.lengths[last]
        self.lengths.pop()

    def logits(self, model: Any, tokens: list[int]) -> torch.Tensor:
        """Add a token to each answer under way, and return (n, vocabulary) logits after it."""
        import torch

        device = model.device
        lengths = torch.tensor(self.lengths, device=device)
        self.step = _Step(lengths, self.common_tokens, max(self.lengths) + 1)
        with _decoding(model, self), torch.inference_mode():
            output = model(
                input_ids=torch.tensor([tokens], device=device),
                position_ids=(lengths + self.common_tokens)[None],
                # Any mask will do: transformers then makes none of its own.
                attention_mask=torch.zeros(1, 1, 1, 1, dtype=model.dtype, device=device),
                use_cache=False,
            )
        self.lengths = [length + 1 for length in self.lengths]
        rows: torch.Tensor = output.logits[0]
        return rows


@dataclass(eq=False)
class _Step:
    """What the layers of a step share.

    Attributes:
        lengths: (n,) tokens in each slot, before the step.
        common: tokens in common, which come first.
        columns: columns of the slots that are in use, with the new token's.
        hidden: by attention window and device, (n, 1, 1, common + columns) 0 or minus infinity.
    """

    lengths: torch.Tensor
    common: int
    columns: int
    hidden: dict[tuple[int | None, torch.device], torch.Tensor] = field(default_factory=dict)

    def bias(self, window: int | None, like: torch.Tensor) -> torch.Tensor:
        """Return 0 where an answer's new token attends to a column, else minus infinity."""
        import torch

        key = window, like.device
        if key not in self.hidden:
            places = torch.arange(self.common + self.columns, device=like.device)
            position = (self.lengths.to(like.device) + self.common)[:, None]
            masked = places > position
            if window is not None:
                masked |= position - places >= window
            bias = torch.zeros(masked.shape, dtype=like.dtype, device=like.device)
            self.hidden[key] = bias.masked_fill_(masked, -torch.inf)[:, None, None]
        return self.hidden[key]


_CACHE: ContextVar[DecodingCache | None] = ContextVar("decoding_cache", default=None)


@contextmanager
def _decoding(model: Any, state: DecodingCache) -> Iterator[None]:
    _register()
    token = _CACHE.set(state)
    try:
        with uses_attention(model, ATTENTION_NAME):
            yield
    finally:
        _CACHE.reset(token)


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
    softcap: float | None = None,
    **more: Any,
) -> tuple[torch.Tensor, None]:
    """Return (1, n, heads, width): each of n new tokens attends to the common past and its slot.

    The common past is read once for all of them: one product instead of n.

    Raises:
        NotImplementedError: if the model's attention has a part that this one lacks.
    """
    import torch

    state = _CACHE.get()
    unsupported = unsupported_parts(more)
    if state is None or state.step is None or unsupported:
        raise NotImplementedError(f"attention with {', '.join(unsupported) or 'no slots'}")
    step, layer = state.step, int(module.layer_idx)
    own, n = state.own[layer], query.shape[2]
    heads, width = key.shape[1], query.shape[3]
    slots = torch.arange(n, device=query.device)
    lengths = step.lengths.to(query.device)
    own[0, slots, :, lengths] = key[0].transpose(0, 1)
    own[1, slots, :, lengths] = value[0].transpose(0, 1)
    scale = width**-0.5 if scaling is None else scaling
    # (key heads, queries of a key head, n, width)
    grouped = (query[0] * scale).reshape(heads, -1, n, width)
    common = None if state.common is None else state.common[layer]
    bias = step.bias(sliding_window, query)
    result = _attend(grouped, own[:, :n, :, : step.columns], common, bias, softcap)
    return result.permute(2, 0, 1, 3).reshape(1, n, -1, width), None


def _attend(
    query: torch.Tensor,
    own: torch.Tensor,
    common: torch.Tensor | None,
    bias: torch.Tensor,
    cap: float | None,
) -> torch.Tensor:
    """Return (key heads, groups, n, width)."""
    import torch

    heads, groups, n, width = query.shape
    each = query.permute(2, 0, 1, 3).reshape(n * heads, groups, width)
    keys, values = (part.reshape(n * heads, -1, width) for part in own)
    scores = capped(torch.bmm(each, keys.transpose(1, 2)).view(n, heads, groups, -1), cap)
    if common is None:
        weights = (scores + bias).softmax(-1).view(n * heads, groups, -1)
        return torch.bmm(weights, values).view(n, heads, groups, width).permute(1, 2, 0, 3)
    together = query.reshape(heads, groups * n, width)
    before = capped(torch.bmm(together, common[0].transpose(1, 2)), cap).view(heads, groups, n, -1)
    past = before.shape[-1]
    weights = (torch.cat([before.permute(2, 0, 1, 3), scores], -1) + bias).softmax(-1)
    late = torch.bmm(weights[..., past:].reshape(n * heads, groups, -1), values)
    early = torch.bmm(
        weights[..., :past].permute(1, 2, 0, 3).reshape(heads, groups * n, past), common[1]
    )
    return early.view(query.shape) + late.view(n, heads, groups, width).permute(1, 2, 0, 3)
