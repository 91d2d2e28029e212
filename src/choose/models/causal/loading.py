"""Load a causal language model, and try whether it can be asked the fast way."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from choose.errors import ModelError
from choose.models.causal.chat_template import ChatTemplate, Prompt
from choose.models.causal.label_scoring import CausalLM, LabelTrie
from choose.models.hardware.device import device, device_name, dtype, quiet_loading
from choose.models.hardware.memory import share_weights
from choose.models.results.cache import ResultCache
from choose.models.weights.resolve import resolve, weights_digest

MAX_TRIAL_TOKENS = 1024


# Nats that a label's score may be from the slow way's: rounding of float32, and of two bytes.
FLOAT32_TOLERANCE, BFLOAT16_TOLERANCE = 2e-3, 1.0


def load_causal(spec: str) -> CausalLM:
    """Load a causal language model once a process, and anew when its folder holds another by now.

    Raises:
        ModelError: if it is not there or is no causal language model.
    """
    return _loaded(spec, weights_digest(spec))


@lru_cache(maxsize=4)
def _loaded(spec: str, digest: str) -> CausalLM:
    from transformers import AutoTokenizer

    folder = resolve(spec)
    with quiet_loading("Loading the language model"):
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
            model = _load(folder)
        except Exception as error:
            raise ModelError(
                f"Cannot load {spec!r} as a causal language model: {error} "
                "Name another one, or another folder."
            ) from error
    model.requires_grad_(False).eval().to(device())
    share_weights(model, digest)
    lm = CausalLM(model, ChatTemplate(tokenizer), digest)
    lm.tree = supports_tree_attention(lm)
    lm.prefixes.clear()
    way = "tree" if lm.tree else "plain"
    made_by = ("labels", lm.digest, str(model.dtype), device_name(model.device), way)
    lm.cache = ResultCache(made_by, np.float64)
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


def supports_tree_attention(lm: CausalLM) -> bool:
    """Try whether an architecture keeps to places and attention that are not its own.

    A word that others cannot see must change nothing, nor may what else is in the pass; places
    must matter, and the outcome must be near that of the slow way. All but the last hold to the
    bit, whatever the number type. Where attention reaches back a limited way, the prompt is longer
    than that.
    """
    content = lm.layout.content
    told = content("Sort the text: apple, pear tree or pear.")
    turn = content("A pear\n")
    prompt = Prompt(told, turn * (1 + _padding_tokens(lm, len(told)) // len(turn)))
    others = [Prompt(told, (token,) * 9) for token in prompt.rest[:2]]
    trie = LabelTrie.build([content(w) for w in ("apple", "pear tree", "pear")], lm.layout.end)
    hidden = trie.tokens.copy()
    hidden[0] = lm.layout.end
    try:
        first, second = (lm.tree_pass([other, prompt], trie)[1] for other in others)
        scores = lm.tree_pass([prompt], trie)[0]
        unseen = lm.tree_pass([prompt], replace(trie, tokens=hidden))[0]
        moved = lm.tree_pass([prompt], replace(trie, depth=trie.depth + 9))[0]
        apart = np.abs(scores - lm.plain(prompt, trie)).max()
    except Exception:  # what an architecture raises when it cannot is not ours to know
        return False
    same = (first == second).all() and (scores[1:] == unseen[1:]).all()
    near = FLOAT32_TOLERANCE if lm.model.dtype.itemsize == 4 else BFLOAT16_TOLERANCE
    return bool(same and (scores != moved).any() and apart < near)


def _padding_tokens(lm: CausalLM, told: int) -> int:
    """Return how many tokens more a prompt needs to reach the end of a window of attention."""
    window = getattr(lm.model.config.get_text_config(), "sliding_window", None) or 0
    return max(0, min(window, MAX_TRIAL_TOKENS, lm.context // 2, lm.reach // 2) - told)
