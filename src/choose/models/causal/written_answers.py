"""Answers that a causal language model writes: under way, and done."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from choose.models.causal.chat_template import Prompt
from choose.models.causal.shared_prefixes import Parts
from choose.models.causal.stopping import StopRule
from choose.types import Counts, Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The answers to n prompts, with their cost.

    Attributes:
        texts: what the model wrote, up to where the stop rule ends it.
        cut: (n,) whether the limit of new tokens ended it.
        logprobs: (n,) log-probability of all its tokens.
        tokens_in: (n,) tokens of the prompt.
        tokens_cached: (n,) the part of them that came from a shared part.
        tokens_out: (n,) new tokens, the closing one included.
        latency: (n,) seconds when it was computed, a pass divided by tokens.
        cached_seconds: what answers in memory or in the cache had taken, equal prompts once.
    """

    texts: tuple[str, ...]
    cut: tuple[bool, ...]
    logprobs: Floats
    tokens_in: Counts
    tokens_cached: Counts
    tokens_out: Counts
    latency: Floats
    cached_seconds: float

    @property
    def confidence(self) -> Floats:
        """Return (n,) the geometric mean of the tokens' probabilities."""
        mean: Floats = np.exp(self.logprobs / np.maximum(self.tokens_out, 1))
        return mean


@dataclass(eq=False)
class Answer:
    """An answer under way.

    Attributes:
        parts: the prompt's tokens, the last part its own.
        visible: whether it has a character that is no blank.
    """

    key: bytes
    parts: Parts
    tokens: list[int] = field(default_factory=list)
    logprob: float = 0.0
    seconds: float = 0.0
    visible: bool = False
    cut: bool = False

    @property
    def shared(self) -> Parts:
        """Return the parts that are read once."""
        return tuple(part for part in self.parts[:-1] if part)

    @property
    def length(self) -> int:
        """Return the tokens of the prompt."""
        return sum(len(part) for part in self.parts)


def prompt_key(prompt: Prompt, rule: StopRule) -> bytes:
    """Return a key of an answer: the prompt's tokens, their division, and the rule."""
    parts = [np.array(part, dtype=np.int64).tobytes() for part in prompt]
    head = f"{rule.until} {rule.limit} {len(parts[0])} ".encode()
    return hashlib.sha256(head + b"".join(parts)).digest()


def in_order(answers: Sequence[Answer]) -> list[Answer]:
    """Return answers with those that share a part together, the longest prompts first."""
    longest: dict[Parts, int] = {}
    for answer in answers:
        group = _group(answer)
        longest[group] = max(longest.get(group, 0), answer.length)
    return sorted(answers, key=lambda a: (-longest[_group(a)], _group(a), a.parts[1:-1], -a.length))


def _group(answer: Answer) -> Parts:
    return answer.parts[1:2]
