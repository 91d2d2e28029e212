"""Find the parts that prompts share, and read each of them once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from choose.models.causal.chat_template import Prompt
from choose.models.causal.packed_attention import Pack, Piece, logits
from choose.models.hardware.memory import limits_of

if TYPE_CHECKING:
    from choose.models.causal.packed_attention import Past

# Tokens from which on a part is worth a piece of its own.
SHORTEST_PART = 16

Tokens = tuple[int, ...]

Parts = tuple[Tokens, ...]


class _Open(NamedTuple):
    """Prompts, by their places in order of their tokens, that agree up to `start`."""

    places: tuple[int, ...]
    start: int
    parts: Parts


def divide(prompts: Sequence[Prompt]) -> list[Parts]:
    """Return each prompt's tokens in parts: the last is its own, others belong to several prompts.

    The first part is the prompt's declared prefix, which may be empty. Below it, prompts that begin
    alike for `SHORTEST_PART` tokens and more share a part, and so on.
    """
    rests = [_with_a_rest(prompt) for prompt in prompts]
    found: list[Parts] = [()] * len(prompts)
    by_prefix: dict[Tokens, list[int]] = {}
    for place, prompt in enumerate(rests):
        by_prefix.setdefault(prompt.prefix, []).append(place)
    for prefix, places in by_prefix.items():
        ordered = tuple(sorted(places, key=lambda place: rests[place].rest))
        under_way = [_Open(ordered, 0, (prefix,))]
        while under_way:
            some = under_way.pop()
            if len(some.places) == 1:
                place = some.places[0]
                found[place] = (*some.parts, rests[place].rest[some.start :])
            else:
                under_way += _split(some, rests)
    return found


def _with_a_rest(prompt: Prompt) -> Prompt:
    """Return a prompt whose rest is not empty: a pass needs a token before the answer."""
    if prompt.rest:
        return prompt
    return Prompt(prompt.prefix[:-1], prompt.prefix[-1:])


def _split(some: _Open, rests: Sequence[Prompt]) -> list[_Open]:
    """Return the groups of prompts that agree further, below the part that all of them share."""
    first, last = rests[some.places[0]].rest, rests[some.places[-1]].rest
    # In order, so what the first and the last share is shared by all; each keeps two tokens.
    shared = min(_alike(first, last), max(len(first) - 2, 0))
    start, parts = some.start, some.parts
    if shared - start >= SHORTEST_PART:
        start, parts = shared, (*parts, first[start:shared])
    groups: dict[Tokens, list[int]] = {}
    for place in some.places:
        groups.setdefault(rests[place].rest[: shared + 1], []).append(place)
    if len(groups) == 1:  # equal prompts, or one that is the beginning of all others
        own = [_Open((place,), start, parts) for place in some.places]
        return own
    return [_Open(tuple(group), start, parts) for group in groups.values()]


def common_parts(divided: Sequence[Parts]) -> Parts:
    """Return the shared parts that all of some prompts begin with."""
    shortest = min(len(parts) for parts in divided) - 1
    for depth, level in enumerate(zip(*(parts[:shortest] for parts in divided), strict=True)):
        if len(set(level)) > 1:
            return divided[0][:depth]
    return divided[0][:shortest]


def _alike(first: Sequence[object], second: Sequence[object]) -> int:
    """Return how many elements two sequences begin with in common."""
    for place, (a, b) in enumerate(zip(first, second, strict=False)):
        if a != b:
            return place
    return min(len(first), len(second))


@dataclass(eq=False)
class SharedPast:
    """Keys and values of the parts that prompts share, each read once while it is in memory.

    Attributes:
        pasts: by the parts from the first on; the latest used come last.
    """

    model: Any
    pasts: OrderedDict[Parts, Past] = field(default_factory=OrderedDict)

    def past(self, chain: Parts) -> Past | None:
        """Return the keys and values of all tokens of some parts; None without any."""
        return self.pasts[chain] if chain else None

    def piece(self, chain: Parts, tokens: Tokens, wanted: int = 1) -> Piece:
        """Return tokens that follow some parts, as a piece of a pass with the last rows wanted."""
        before, count = sum(len(part) for part in chain), len(tokens)
        return Piece(
            tokens=np.array(tokens, dtype=np.int64),
            positions=np.arange(before, before + count),
            sees=np.tri(count, before + count, before, dtype=np.bool_),
            past=self.past(chain),
            past_tokens=before,
            wanted=np.arange(max(count - wanted, 0), count),
        )

    def read(self, chains: Sequence[Parts]) -> None:
        """Read the parts that are not in memory, those that come first before others."""
        deepest = max((len(chain) for chain in chains), default=0)
        for depth in range(1, deepest + 1):
            level = dict.fromkeys(chain[:depth] for chain in chains if len(chain) >= depth)
            for chain in level.keys() & self.pasts.keys():
                self.pasts.move_to_end(chain)
            for some in self._passes([chain for chain in level if chain not in self.pasts]):
                self._read_pass(some)

    def _passes(self, chains: Sequence[Parts]) -> Iterator[list[Parts]]:
        most, tokens = limits_of(self.model.device.type).scoring_tokens, 0
        some: list[Parts] = []
        for chain in chains:
            tokens += len(chain[-1])
            if some and tokens > most:
                yield some
                some, tokens = [], len(chain[-1])
            some.append(chain)
        if some:
            yield some

    def _read_pass(self, chains: Sequence[Parts]) -> None:
        import torch

        pack = Pack([self.piece(c[:-1], c[-1]) for c in chains], saves_past=True)
        logits(self.model, pack)
        start = 0
        for chain in chains:
            stop = start + len(chain[-1])
            before = self.past(chain[:-1])
            self.pasts[chain] = {
                layer: torch.cat(
                    [*([] if before is None else [before[layer]]), read[:, :, start:stop]], dim=2
                )
                for layer, read in pack.past.items()
            }
            start = stop

    def forget_oldest(self) -> None:
        """Drop the parts that were not used for longest, beyond half the limit of memory."""
        most = limits_of(self.model.device.type).writing_bytes // 2
        sizes = {chain: sum(map(len, chain)) for chain in self.pasts}
        total = bytes_per_token(self.model) * sum(sizes.values())
        while total > most and len(self.pasts) > 1:
            chain, _ = self.pasts.popitem(last=False)
            total -= bytes_per_token(self.model) * sizes[chain]


def bytes_per_token(model: Any) -> int:
    """Return the bytes of a token's keys and values."""
    config = model.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return int(2 * config.num_hidden_layers * heads * width * model.dtype.itemsize)


def pass_work(model: Any, lengths: Sequence[tuple[int, int]]) -> list[float]:
    """Return what texts of (new, past) tokens take in a pass, in new tokens without any past.

    It is a number of multiplications: those of the layers, and of attention to what a token sees.
    """
    config = model.config.get_text_config()
    heads = getattr(config, "num_attention_heads", None) or 0
    width = heads * (getattr(config, "head_dim", None) or config.hidden_size // max(1, heads))
    layers = max(1, model.num_parameters(exclude_embeddings=True))
    seen = 2 * config.num_hidden_layers * width / layers
    return [new * (1 + seen * (past + new / 2)) for new, past in lengths]
