"""Answers by transformers' own `generate`, one prompt at a time: what the engine must write."""

import math
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from choose.engines.causal.stop_rules import StopRule, TokenTexts


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
