"""Label scores of prompts: what they hold, how logits become them, what they are kept under."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from choose.models.layout import Prompt
from choose.models.trie import LabelTrie
from choose.types import Counts, Floats

if TYPE_CHECKING:
    import torch

# Rows of logits that are normalised at a time, so that they stay in the processor's cache.
_ROWS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """What a model makes of n prompts.

    Attributes:
        logprobs: (n, labels) log-probability of each label as the whole answer.
        tokens_in: (n,) tokens of the prompt.
        tokens_cached: (n,) the part of them that came from the shared prefix.
        latency: (n,) seconds when it was computed, a pass shared out by tokens.
        cached_seconds: what the rows that were known already had cost, equal ones counted once.
    """

    logprobs: Floats
    tokens_in: Counts
    tokens_cached: Counts
    latency: Floats
    cached_seconds: float


def whole_length(prompt: Prompt, trie: LabelTrie) -> int:
    """Return the tokens of a prompt with its longest label."""
    return len(prompt.prefix) + len(prompt.rest) + int(trie.depth.max(initial=0))


def own_length(prompt: Prompt, trie: LabelTrie) -> int:
    """Return the tokens that a prompt adds to a pass."""
    return len(prompt.rest) + len(trie.tokens)


def label_logprobs(found: torch.Tensor, trie: LabelTrie, prompts: int) -> Floats:
    """Return (prompts, labels) from the (prompts * (1 + nodes), vocabulary) logits."""
    import torch

    norms = torch.cat([rows.float().logsumexp(-1) for rows in torch.split(found, _ROWS)])
    at = np.arange(prompts)[:, None] * (1 + len(trie.tokens)) + trie.step_position
    places = torch.from_numpy(at).to(found.device)
    tokens = torch.from_numpy(trie.step_token).to(found.device)
    steps = (found[places, tokens].float() - norms[places]).cpu().double().numpy()
    logprobs = np.zeros((len(trie.lengths), prompts), dtype=np.float64)
    np.add.at(logprobs, trie.step_label, steps.T)
    return np.ascontiguousarray(logprobs.T)


def answer_keys(prompts: Sequence[Prompt], trie: LabelTrie) -> list[bytes]:
    """Return what identifies the answer to each prompt: its tokens, its parts, the labels."""
    sha = hashlib.sha256(trie.step_label.tobytes())
    sha.update(trie.step_token.tobytes())
    labels = sha.digest()
    return [_identity(prompt) + labels for prompt in prompts]


def _identity(prompt: Prompt) -> bytes:
    parts = [np.array(part, dtype=np.int64).tobytes() for part in prompt]
    return hashlib.sha256(len(parts[0]).to_bytes(8, "big") + b"".join(parts)).digest()
