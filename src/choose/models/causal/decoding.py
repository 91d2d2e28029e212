"""Steps of a generation that add a token to each answer, by cached keys and values.

`generate_alone` has transformers write one answer: the slow path, and the reference in tests.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from choose.models.causal.packed_attention import CustomAttention, LayerInput, capped
from choose.models.causal.written_answers import StopRule, TokenTexts
from choose.models.hardware.packed_products import packed_products

if TYPE_CHECKING:
    import torch

    from choose.models.causal.packed_attention import Past


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
        with _DECODING.used_by(model, self), torch.inference_mode(), packed_products(model):
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


def _attend_slots(state: DecodingCache, given: LayerInput) -> torch.Tensor:
    """Let each of n new tokens attend to the common past and its own slot.

    The common past is read once for all of them: one product instead of n.
    """
    import torch

    query, step = given.query, state.step
    assert step is not None
    own, n = state.own[given.layer], query.shape[2]
    heads, width = given.key.shape[1], query.shape[3]
    slots = torch.arange(n, device=query.device)
    lengths = step.lengths.to(query.device)
    own[0, slots, :, lengths] = given.key[0].transpose(0, 1)
    own[1, slots, :, lengths] = given.value[0].transpose(0, 1)
    # (key heads, queries of a key head, n, width)
    grouped = (query[0] * given.scale).reshape(heads, -1, n, width)
    common = None if state.common is None else state.common[given.layer]
    bias = step.bias(given.window, query)
    result = _attend(grouped, own[:, :n, :, : step.columns], common, bias, given.cap)
    return result.permute(2, 0, 1, 3).reshape(1, n, -1, width)


_DECODING = CustomAttention("choose_decoding", _attend_slots)


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


@dataclass(frozen=True, slots=True)
class _Forced:
    """The rule as transformers asks for it after each token; `read` are the prompt's tokens."""

    read: int
    rule: StopRule
    words: TokenTexts

    def suppress(self, ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Keep an answer from beginning with a newline."""
        if not any(self.words[token].strip() for token in ids[0, self.read :].tolist()):
            while not self.rule.may_begin(self.words[int(scores[0].argmax())]):
                scores[0, int(scores[0].argmax())] = -math.inf
        return scores

    def complete(self, ids: torch.Tensor, scores: Any, **more: Any) -> torch.Tensor:
        """Return (1,) whether the rule ends the answer."""
        import torch

        written = ids[0, self.read :].tolist()
        ended = self.rule.may_end(self.words[written[-1]]) and (
            self.rule.end_of(self.words.decode(written)) is not None
        )
        return torch.tensor([ended or self.rule.cuts(written)], device=ids.device)


def generate_alone(
    model: Any, prompt: Sequence[int], rule: StopRule, words: TokenTexts, ends: AbstractSet[int]
) -> tuple[list[int], float, bool]:
    """Return the new tokens, their log-probability, and whether the limit or a loop ended them.

    For models that ignore positions or attend in a way of their own, whatever cache they have.
    """
    import torch
    from transformers import GenerationConfig

    step = _Forced(len(prompt), rule, words)
    ids = torch.tensor([list(prompt)], device=model.device)
    config = GenerationConfig(  # type: ignore[no-untyped-call]
        do_sample=False,
        max_new_tokens=rule.limit,
        eos_token_id=sorted(ends),
        pad_token_id=min(ends),
        return_dict_in_generate=True,
        output_logits=True,
    )
    with _own_settings_only(model), torch.inference_mode():
        output = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            generation_config=config,
            logits_processor=[step.suppress],
            stopping_criteria=[step.complete],
        )
    tokens = output.sequences[0, len(prompt) :].tolist()
    rows = [row[0].float() for row in output.logits]
    logprob = sum(
        float(row[token] - row.logsumexp(-1)) for row, token in zip(rows, tokens, strict=True)
    )
    ended = tokens[-1] in ends or rule.end_of(words.decode(tokens)) is not None
    return tokens, logprob, not ended


def rival_logprob(model: Any, prompt: Sequence[int], rival: int) -> float:
    """Return the log-probability of a token in the place of the last one, less that of the last."""
    import torch

    ids = torch.tensor([list(prompt[:-1])], device=model.device)
    with torch.inference_mode():
        row = model(input_ids=ids, use_cache=False).logits[0, -1].float()
    return float(row[rival] - row[prompt[-1]])


@contextmanager
def _own_settings_only(model: Any) -> Iterator[None]:
    """Leave out the model's own defaults, such as a temperature or a penalty of repetitions."""
    from transformers import GenerationConfig

    before = model.generation_config
    model.generation_config = GenerationConfig()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        model.generation_config = before
