"""Load a causal language model, and test whether it supports label tries in packed passes."""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch

from choose.engines.causal.chat_template import ChatTemplate, Prompt
from choose.engines.causal.generation import Generator
from choose.engines.causal.label_scoring import CausalLM, LabelTrie
from choose.engines.causal.packed_attention import Parts, max_stable_length
from choose.engines.hardware.device_and_dtype import device_name, dtype
from choose.engines.hardware.placement import load_placed
from choose.engines.hardware.timed_steps import set_spare_threads
from choose.engines.output_cache import ResultCache
from choose.engines.weights.resolve import resolve, weights_digest

# Longest prompt of the test, in tokens.
MAX_TRIAL_TOKENS = 1024

# Nats by which a label's score may differ from the slow path's, by rounding.
FLOAT32_TOLERANCE, BFLOAT16_TOLERANCE = 2e-3, 1.0


def load_causal(spec: str) -> CausalLM:
    """Load a causal language model once a process, and again when its folder has changed.

    Raises:
        ModelError: if it is missing or is no causal language model.
    """
    return _loaded(spec, weights_digest(spec))


@lru_cache(maxsize=4)
def _loaded(spec: str, digest: str) -> CausalLM:
    from transformers import AutoModelForCausalLM

    tokenizer, model = load_placed(
        AutoModelForCausalLM, resolve(spec), dtype=dtype(), kind="causal language model"
    )
    lm = CausalLM(model, ChatTemplate(tokenizer), digest)
    set_spare_threads()
    lm.tree = supports_tree_attention(lm)
    lm.shared.pasts.clear()
    lm.cache = ResultCache(("labels", *_weights(lm), "tree" if lm.tree else "plain"), np.float64)
    return lm


def load_generator(spec: str) -> Generator:
    """Return the generator of a causal language model, once a process.

    Raises:
        ModelError: if it is missing or is no causal language model.
    """
    return _generator(spec, weights_digest(spec))


@lru_cache(maxsize=4)
def _generator(spec: str, digest: str) -> Generator:
    lm = _loaded(spec, digest)
    generator = Generator(lm.model, lm.template)
    generator.packed = lm.tree and supports_decoding(generator)
    way = "packed" if generator.packed else "alone"
    generator.cache = ResultCache(("texts", *_weights(lm), way), np.float64)
    return generator


def _weights(lm: CausalLM) -> tuple[str, ...]:
    """Return what a cached result depends on besides the question."""
    return lm.digest, str(lm.model.dtype), device_name(lm.model.device)


def supports_tree_attention(lm: CausalLM) -> bool:
    """Test whether an architecture respects given positions and attention masks.

    A masked token and the other prompts of a pass must change nothing; positions must matter; and
    the scores must be near the slow path's. All but the last are checked to the bit, whatever the
    number type. The prompt is longer than an attention window, if the model has one.
    """
    content = lm.template.content
    instruction = content("Sort the text: apple, pear tree or pear.")
    turn = content("A pear\n")
    window = getattr(lm.model.config.get_text_config(), "sliding_window", None) or 0
    most = min(window, MAX_TRIAL_TOKENS, lm.context // 2, lm.max_batched_length // 2)
    prompt = Prompt(instruction, turn * (1 + max(0, most - len(instruction)) // len(turn)))
    others = [Prompt(instruction, (token,) * 9) for token in prompt.rest[:2]]
    trie = LabelTrie.build([content(w) for w in ("apple", "pear tree", "pear")], lm.template.end)
    hidden = trie.tokens.copy()
    hidden[0] = lm.template.end
    try:
        first, second = (lm.tree_pass([other, prompt], trie)[1] for other in others)
        scores = lm.tree_pass([prompt], trie)[0]
        unseen = lm.tree_pass([prompt], replace(trie, tokens=hidden))[0]
        moved = lm.tree_pass([prompt], replace(trie, depth=trie.depth + 9))[0]
        difference = np.abs(scores - lm.plain(prompt, trie)).max()
    except Exception:  # an architecture without support can raise anything
        return False
    same = (first == second).all() and (scores[1:] == unseen[1:]).all()
    tolerance = FLOAT32_TOLERANCE if lm.model.dtype.itemsize == 4 else BFLOAT16_TOLERANCE
    return bool(same and (scores != moved).any() and difference < tolerance)


def supports_decoding(generator: Generator) -> bool:
    """Test whether the log-probabilities of new tokens are those of a pass over the whole text."""
    content, model = generator.template.content, generator.model
    texts = [content("Sort the text: apple, pear tree or pear."), content("A pear")]
    window = getattr(model.config.get_text_config(), "sliding_window", None) or 0
    most = min(MAX_TRIAL_TOKENS, generator.context // 2, max_stable_length(model.config) // 2)
    own = (texts[1] * max(1, min(window, most) // len(texts[1])))[:most]
    parts: tuple[Parts, ...] = ((texts[0], own), (texts[0], texts[1]))
    new = texts[1][:3]
    try:
        stepwise = generator.next_logits(parts, new)
        whole = torch.cat([generator.next_logits([(*p[:-1], p[-1] + new)], ()) for p in parts])
    except Exception:  # an architecture without support can raise anything
        return False
    finally:
        generator.shared.pasts.clear()
    apart = (stepwise.float().log_softmax(-1) - whole.float().log_softmax(-1)).abs().max()
    tolerance = FLOAT32_TOLERANCE if model.dtype.itemsize == 4 else BFLOAT16_TOLERANCE
    return bool(apart < tolerance)
