"""Exact log-probabilities of labels under a causal language model, without generating."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from time import perf_counter
from typing import Self

import numpy as np
import torch

from choose.engines.causal.chat_template import Prompt
from choose.engines.causal.packed_attention import (
    Pack,
    Parts,
    Piece,
    PromptedModel,
    is_full,
    logits,
    max_stable_length,
    pass_work,
)
from choose.engines.hardware.batch_limits import limits_of, memory_notes, within_memory
from choose.engines.hardware.timed_steps import TimedSteps
from choose.progress import report_progress
from choose.types import Bools, Counts, Floats

# Rows of logits that are normalised at a time, so that they stay in the processor's cache.
NORMALISED_ROWS = 16


@dataclass(frozen=True, slots=True, eq=False)
class LabelTrie:
    """A trie of the labels' tokens: a node per distinct beginning, the root after the prompt.

    A label's log-probability is the sum over its steps of log p(token | position), the last step
    being `end`, the token that closes an answer: without it, a label that is the beginning of
    another would always score higher. Positions count from the root (0), so node i has i + 1.

    Attributes:
        tokens: (nodes,) the token of each node.
        depth: (nodes,) tokens from the root to the node, itself included.
        sees: (nodes, nodes) True where the column's node is on the path to the row's.
        step_label, step_position, step_token: (steps,) all labels' steps, one after another.
        lengths: (labels,) tokens of each label, the end included.
    """

    tokens: Counts
    depth: Counts
    sees: Bools
    step_label: Counts
    step_position: Counts
    step_token: Counts
    lengths: Counts

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.step_label.tobytes() + self.step_token.tobytes()).hexdigest()

    @classmethod
    def build(cls, labels: Sequence[Sequence[int]], end: int) -> Self:
        return cls.of([(*label, end) for label in labels])

    @classmethod
    def of(cls, answers: Sequence[Sequence[int]]) -> Self:
        """Build the trie of whole answers: the last token of each is scored and is no node."""
        nodes: dict[tuple[int, ...], int] = {}
        steps: list[tuple[int, int, int]] = []
        for number, answer in enumerate(answers):
            position = 0
            for length, token in enumerate(answer, start=1):
                steps.append((number, position, token))
                if length < len(answer):
                    position = 1 + nodes.setdefault(tuple(answer[:length]), len(nodes))
        sees = np.zeros((len(nodes), len(nodes)), dtype=np.bool_)
        for path, node in nodes.items():
            for length in range(1, len(path) + 1):
                sees[node, nodes[path[:length]]] = True
        columns = np.array(steps, dtype=np.int64).reshape(-1, 3).T
        return cls(
            tokens=np.array([path[-1] for path in nodes], dtype=np.int64),
            depth=np.array([len(path) for path in nodes], dtype=np.int64),
            sees=sees,
            step_label=columns[0],
            step_position=columns[1],
            step_token=columns[2],
            lengths=np.array([len(answer) for answer in answers], dtype=np.int64),
        )

    def mask(self, prefix: int, rest: int) -> Bools:
        """Return (rest + nodes, prefix + rest + nodes): which token attends to which.

        Prompt tokens attend to earlier ones; a node to the whole prompt and its own path.
        """
        rows = rest + len(self.tokens)
        mask = np.zeros((rows, prefix + rows), dtype=np.bool_)
        mask[:, :prefix] = True
        mask[:rest, prefix : prefix + rest] = np.tri(rest, dtype=np.bool_)
        mask[rest:, prefix : prefix + rest] = True
        mask[rest:, prefix + rest :] = self.sees
        return mask

    def positions(self, prefix: int, rest: int) -> Counts:
        """Return (rest + nodes,) the position of each token in its text."""
        return np.concatenate([np.arange(prefix, prefix + rest), prefix + rest - 1 + self.depth])


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredPrompts:
    """The log-probabilities of n prompts' labels, with their cost.

    Attributes:
        logprobs: (n, labels) log-probability of each label as the whole answer.
        tokens_in: (n,) tokens of the prompt.
        tokens_cached: (n,) the part of them that came from the shared prefix.
        latency: (n,) seconds when it was computed, a pass divided by tokens.
        cached_seconds: what answers in memory or in the cache had taken, equal prompts once.
    """

    logprobs: Floats
    tokens_in: Counts
    tokens_cached: Counts
    latency: Floats
    cached_seconds: float


def total_length(prompt: Prompt, trie: LabelTrie) -> int:
    """Return the tokens of a prompt with its longest label."""
    return len(prompt.prefix) + len(prompt.rest) + int(trie.depth.max(initial=0))


def added_length(prompt: Prompt, trie: LabelTrie) -> int:
    """Return the tokens that a prompt adds to a pass."""
    return len(prompt.rest) + len(trie.tokens)


def _chain(prompt: Prompt) -> Parts:
    return (prompt.prefix,) if prompt.prefix else ()


def label_logprobs(rows: torch.Tensor, trie: LabelTrie, prompts: int) -> Floats:
    """Return (prompts, labels) from the (prompts * (1 + nodes), vocabulary) logits."""
    norms = torch.cat([part.float().logsumexp(-1) for part in torch.split(rows, NORMALISED_ROWS)])
    at = np.arange(prompts)[:, None] * (1 + len(trie.tokens)) + trie.step_position
    places = torch.from_numpy(at).to(rows.device)
    tokens = torch.from_numpy(trie.step_token).to(rows.device)
    steps = (rows[places, tokens].float() - norms[places]).cpu().double().numpy()
    logprobs = np.zeros((len(trie.lengths), prompts), dtype=np.float64)
    np.add.at(logprobs, trie.step_label, steps.T)
    return np.ascontiguousarray(logprobs.T)


@dataclass(eq=False)
class CausalLM(PromptedModel):
    """A loaded model that scores labels.

    A pass holds several prompts: of each the rest after the shared prefix, whose keys and values
    are saved, and all labels as one trie. Prompts share the products of the layers but no
    attention, so an answer depends on the others by rounding at most.
    """

    digest: str
    tree: bool = True
    steps: TimedSteps = field(default_factory=TimedSteps)

    @cached_property
    def max_batched_length(self) -> int:
        """Return the longest prompt with labels whose positions do not depend on the batch."""
        return max_stable_length(self.model.config)

    def notes(self) -> list[str]:
        slow = "Its attention cannot be shared: each label is scored in a pass of its own."
        return [*memory_notes(self.model.device.type), *([] if self.tree else [slow])]

    def score(self, prompts: Sequence[Prompt], trie: LabelTrie) -> ScoredPrompts:
        """Return the labels' log-probabilities, each distinct prompt computed once a process.

        Raises:
            ModelError: if a prompt does not fit the model.
        """
        about = trie.digest
        keys = [prompt.digest(about) for prompt in prompts]
        known = self.recall(keys)
        new = {k: p for k, p in zip(keys, prompts, strict=True) if k not in self.answers}
        lengths = [(added_length(p, trie), len(p.prefix)) for p in new.values()]
        work = dict(zip(new, pass_work(self.model, lengths), strict=True))
        total = sum(work.values())
        if new:
            report_progress(0, total, "scoring")
        kind, left = self.model.device.type, dict(new)
        while left:
            some = within_memory(kind, lambda: self._score_some(left, trie))
            for key in some:
                del left[key]
            if self.cache is not None:
                self.cache.put({key: self.answers[key] for key in some})
            report_progress(total - sum(work[key] for key in left), total, "scoring")
        answers = [self.answers[key] for key in keys]
        self.forget_oldest()
        return ScoredPrompts(
            logprobs=np.array([r for r, _ in answers]).reshape(len(prompts), len(trie.lengths)),
            tokens_in=np.array([len(p.prefix) + len(p.rest) for p in prompts], dtype=np.int64),
            tokens_cached=np.array([len(p.prefix) for p in prompts], dtype=np.int64),
            latency=np.array([seconds for _, seconds in answers], dtype=np.float64),
            cached_seconds=known,
        )

    def _score_some(self, left: dict[bytes, Prompt], trie: LabelTrie) -> list[bytes]:
        some = self._next_pass(left, trie)
        batch = [left[key] for key in some]
        tokens = sum(added_length(prompt, trie) for prompt in batch)
        start = perf_counter()
        batched = self._can_batch(batch[0], trie)
        if batched:
            self.shared.read([_chain(prompt) for prompt in batch])
        with self.steps.step(tokens):
            rows = self.tree_pass(batch, trie) if batched else self.plain(batch[0], trie)[None]
        pace = (perf_counter() - start) / tokens
        for key, row, prompt in zip(some, rows, batch, strict=True):
            self.answers[key] = row, pace * added_length(prompt, trie)
        return some

    def _next_pass(self, new: dict[bytes, Prompt], trie: LabelTrie) -> list[bytes]:
        """Return the keys of the prompts of a pass, within the limits of tokens and logits."""
        limits, rows = limits_of(self.model.device.type), 1 + len(trie.tokens)
        size = self.model.config.get_text_config().vocab_size
        most_rows = limits.scoring_rows(size, self.model.dtype.itemsize)
        most_tokens = self.steps.most(limits.scoring_tokens)
        some: list[bytes] = []
        tokens = 0
        for key, prompt in new.items():
            if not self._can_batch(prompt, trie):
                if not some:
                    return [key]
                continue
            tokens += added_length(prompt, trie)
            full = is_full(len(some), tokens, most_tokens)
            if full or (some and (len(some) + 1) * rows > most_rows):
                break
            some.append(key)
        return some

    def _can_batch(self, prompt: Prompt, trie: LabelTrie) -> bool:
        return self.tree and total_length(prompt, trie) <= self.max_batched_length

    def tree_pass(self, prompts: Sequence[Prompt], trie: LabelTrie) -> Floats:
        """Return (n, labels) log-probabilities from one pass over the rests and the label tries."""
        for prompt in prompts:
            self.check_fits(total_length(prompt, trie))
        rows = logits(self.model, Pack([self._piece(prompt, trie) for prompt in prompts]))
        self.shared.forget_oldest()
        return label_logprobs(rows, trie, len(prompts))

    def _piece(self, prompt: Prompt, trie: LabelTrie) -> Piece:
        prefix, rest = len(prompt.prefix), len(prompt.rest)
        if not rest:  # the pass needs a token before the answer
            return self._piece(Prompt(prompt.prefix[:-1], prompt.prefix[-1:]), trie)
        chain = _chain(prompt)
        self.shared.read([chain])
        return Piece(
            tokens=np.concatenate([np.array(prompt.rest, dtype=np.int64), trie.tokens]),
            positions=trie.positions(prefix, rest),
            sees=trie.mask(prefix, rest),
            past=self.shared.past(chain),
            past_tokens=prefix,
            wanted=np.arange(rest - 1, rest + len(trie.tokens)),
        )

    def plain(self, prompt: Prompt, trie: LabelTrie) -> Floats:
        """Return (labels,) log-probabilities from an ordinary pass a label.

        For models that ignore a tree-shaped mask; the fast path is tested against it.
        """
        logprobs = np.zeros(len(trie.lengths), dtype=np.float64)
        for label, length in enumerate(trie.lengths):
            tokens = trie.step_token[trie.step_label == label].tolist()
            whole = [*prompt.prefix, *prompt.rest, *tokens[:-1]]
            self.check_fits(len(whole))
            ids = torch.tensor([whole], device=self.model.device)
            with torch.inference_mode():
                output = self.model(input_ids=ids, use_cache=False, logits_to_keep=int(length))
                rows = output.logits[0, -int(length) :].float().log_softmax(-1)
            logprobs[label] = sum(float(row[t]) for row, t in zip(rows, tokens, strict=True))
        return logprobs
