"""Exact log-probabilities of labels under a causal language model, without generating."""

from __future__ import annotations

import copy
import hashlib
import inspect
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from choose.errors import ModelError
from choose.models.layout import Layout, Prompt
from choose.models.runtime import device, dtype, quiet, threads
from choose.models.trie import LabelTrie
from choose.models.weights import resolve, weights_digest
from choose.types import Counts, Floats

_PREFIXES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """What a model makes of n prompts.

    Attributes:
        logprobs: (n, labels) log-probability of each label as the whole answer.
        tokens_in: (n,) tokens of the prompt.
        tokens_cached: (n,) the part of them that came from the shared prefix.
        latency: (n,) seconds when it was computed.
        cached_seconds: what the rows that were known already had cost.
    """

    logprobs: Floats
    tokens_in: Counts
    tokens_cached: Counts
    latency: Floats
    cached_seconds: float


# Answers remembered at most: what is left of a stream of millions; studies have fewer.
MOST = 100_000


@dataclass(eq=False)
class CausalLM:
    """A loaded model, the prefixes it holds in memory and the answers it has given.

    Each prompt is a pass of its own: the shared prefix from memory, the rest of the prompt, and
    all labels as one tree under a tree-shaped attention mask. With nothing else in the pass, the
    answer to a prompt cannot depend on what else is asked, in any number type.
    """

    model: Any
    layout: Layout
    digest: str
    tree: bool = True
    prefixes: OrderedDict[tuple[int, ...], Any] = field(default_factory=OrderedDict)
    answers: dict[bytes, tuple[Floats, float]] = field(default_factory=dict)

    @cached_property
    def past_name(self) -> str:
        """Return what this version of transformers calls the cache of keys and values."""
        names = inspect.signature(self.model.forward).parameters
        return "cache" if "cache" in names else "past_key_values"

    @property
    def context(self) -> int:
        """Return the longest prompt with labels, in tokens, that the model reads."""
        return int(getattr(self.model.config, "max_position_embeddings", None) or 1 << 20)

    def score(self, prompts: Sequence[Prompt], trie: LabelTrie) -> Scored:
        """Return what the model makes of each prompt, each distinct one computed once a process.

        Raises:
            ModelError: if a prompt does not fit the model.
        """
        labels = _identity(trie)
        rows, seconds, known = [], [], 0.0
        for prompt in prompts:
            key = _identity_of(prompt) + labels
            if key in self.answers:
                known += self.answers[key][1]
            else:
                threads()
                start = perf_counter()
                logprobs = self.tree_pass(prompt, trie) if self.tree else self.plain(prompt, trie)
                self.answers[key] = (logprobs, perf_counter() - start)
            rows.append(self.answers[key][0])
            seconds.append(self.answers[key][1])
        while len(self.answers) > MOST:
            del self.answers[next(iter(self.answers))]
        return Scored(
            logprobs=np.array(rows, dtype=np.float64).reshape(len(prompts), len(trie.lengths)),
            tokens_in=np.array([len(p.prefix) + len(p.rest) for p in prompts], dtype=np.int64),
            tokens_cached=np.array([len(p.prefix) for p in prompts], dtype=np.int64),
            latency=np.array(seconds, dtype=np.float64),
            cached_seconds=known,
        )

    def tree_pass(self, prompt: Prompt, trie: LabelTrie) -> Floats:
        """Return (labels,) log-probabilities from one pass over the rest and the label tree."""
        import torch

        prefix, rest = len(prompt.prefix), len(prompt.rest)
        self._check_fits(prefix + rest + int(trie.depth.max(initial=0)))
        with torch.inference_mode():
            past = self._prefix(prompt.prefix)
            allowed = torch.from_numpy(trie.mask(prefix, rest)).to(self.model.device)
            mask = torch.zeros(allowed.shape, dtype=self.model.dtype, device=allowed.device)
            mask.masked_fill_(~allowed, torch.finfo(self.model.dtype).min)
            logits = self._forward(
                [*prompt.rest, *trie.tokens.tolist()],
                keep=len(trie.tokens) + 1,
                attention_mask=mask[None, None],
                position_ids=torch.from_numpy(trie.positions(prefix, rest))[None].to(mask.device),
                past=past,
            )
            return _label_logprobs(logits, trie)

    def plain(self, prompt: Prompt, trie: LabelTrie) -> Floats:
        """Return (labels,) log-probabilities from one ordinary pass a label.

        The slow way, for models that do not honour a tree-shaped mask, and the reference that
        the fast one is tested against.
        """
        import torch

        logprobs = np.zeros(len(trie.lengths), dtype=np.float64)
        for label, length in enumerate(trie.lengths):
            tokens = trie.step_token[trie.step_label == label].tolist()
            whole = [*prompt.prefix, *prompt.rest, *tokens[:-1]]
            self._check_fits(len(whole))
            with torch.inference_mode():
                logits = self._forward(whole, keep=int(length)).float().log_softmax(-1)
            logprobs[label] = sum(float(row[t]) for row, t in zip(logits, tokens, strict=True))
        return logprobs

    def _forward(self, tokens: Sequence[int], keep: int, past: Any = None, **how: Any) -> Any:
        """Return (keep, vocabulary) logits of the last `keep` tokens."""
        import torch

        ids = torch.tensor([list(tokens)], device=self.model.device)
        if past is not None:
            how[self.past_name] = past
        output = self.model(input_ids=ids, use_cache=past is not None, logits_to_keep=keep, **how)
        return output.logits[0, -keep:]

    def _prefix(self, tokens: tuple[int, ...]) -> Any:
        """Return the prefix's keys and values, for one use."""
        import torch

        if not tokens:
            return None
        if tokens not in self.prefixes:
            ids = torch.tensor([list(tokens)], device=self.model.device)
            output = self.model(input_ids=ids, use_cache=True, logits_to_keep=1)
            self.prefixes[tokens] = getattr(output, self.past_name)
        self.prefixes.move_to_end(tokens)
        while len(self.prefixes) > _PREFIXES:
            self.prefixes.popitem(last=False)
        # A pass appends to the layers it is given, by new tensors; these copies take that.
        past = copy.copy(self.prefixes[tokens])
        past.layers = [copy.copy(layer) for layer in past.layers]
        return past

    def _check_fits(self, length: int) -> None:
        if length > self.context:
            raise ModelError(
                f"A prompt has {length:,} tokens, and the model reads {self.context:,} at most. "
                "Use shorter label descriptions, fewer demonstrations or another model."
            )


@cache
def load_causal(spec: str) -> CausalLM:
    """Load a causal language model once a process.

    Raises:
        ModelError: if it is not there or is no causal language model.
    """
    from transformers import AutoTokenizer

    folder = resolve(spec)
    with quiet("Loading the language model"):
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
            model = _load(folder)
        except Exception as error:
            raise ModelError(
                f"Cannot load {spec!r} as a causal language model: {error} "
                "Name another one, or another folder."
            ) from error
    lm = CausalLM(model.to(device()).eval(), Layout(tokenizer), weights_digest(spec))
    lm.tree = _honours_trees(lm)
    return lm


def _load(folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    loaded: Any = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=dtype(),
        use_safetensors=True,
        trust_remote_code=False,
        output_loading_info=True,
    )
    model, loading = loaded
    # An encoder loads too, with a head of random numbers in place of the one it lacks.
    if loading["missing_keys"]:
        raise ValueError(f"it has no weights for {', '.join(sorted(loading['missing_keys'])[:3])}.")
    return model


def _honours_trees(lm: CausalLM) -> bool:
    """Try whether an architecture obeys a mask and positions that are not its own.

    A word that others cannot see must change nothing, places must matter, and the outcome must be
    near that of the slow way. The first two hold to the bit, whatever the number type.
    """
    content = lm.layout.content
    prompt = Prompt(content("Sort the text: apple, pear tree or pear."), content("A pear\n"))
    trie = LabelTrie.build([content(w) for w in ("apple", "pear tree", "pear")], lm.layout.end)
    hidden = trie.tokens.copy()
    hidden[0] = lm.layout.end
    try:
        scores = lm.tree_pass(prompt, trie)
        unseen = lm.tree_pass(prompt, replace(trie, tokens=hidden))
        moved = lm.tree_pass(prompt, replace(trie, depth=trie.depth + 9))
        apart = np.abs(scores - lm.plain(prompt, trie)).max()
    except Exception:  # what an architecture raises when it cannot is not ours to know
        return False
    same, different = scores[1:] == unseen[1:], scores != moved
    return bool(same.all() and different.any() and apart < 1)


def _label_logprobs(logits: Any, trie: LabelTrie) -> Floats:
    import torch

    wide = logits.float()
    at, token = torch.from_numpy(trie.step_position), torch.from_numpy(trie.step_token)
    steps = (wide[at, token] - wide.logsumexp(-1)[at]).double().cpu().numpy()
    logprobs = np.zeros(len(trie.lengths), dtype=np.float64)
    np.add.at(logprobs, trie.step_label, steps)
    return logprobs


def _identity_of(prompt: Prompt) -> bytes:
    parts = [np.array(part, dtype=np.int64).tobytes() for part in prompt]
    return hashlib.sha256(len(parts[0]).to_bytes(8, "big") + b"".join(parts)).digest()


def _identity(trie: LabelTrie) -> bytes:
    sha = hashlib.sha256(trie.step_label.tobytes())
    sha.update(trie.step_token.tobytes())
    return sha.digest()
